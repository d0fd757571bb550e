"""Asking Snakemake about a run without running anything."""

import subprocess
import sys

from sluice.errors import SluiceError

_TOLD_CHARS = 2000


def ask_snakemake(*words: str, what: str) -> str:
    """What ``snakemake`` with these words prints, plan and log alike.

    It is this Python's own Snakemake, whether or not the environment is activated.

    Args:
        words: of the command line.
        what: what was asked for, as in "snakemake cannot <what>".
    Raises:
        SluiceError: it fails; its own message is the hint.
    """
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *words], text=True, capture_output=True
    )
    if done.returncode:
        # Of a dry-run the reason is on stdout, of the rest on stderr.
        told = f"{done.stderr}\n{done.stdout}".strip()[-_TOLD_CHARS:]
        raise SluiceError(f"snakemake cannot {what}", hint=told)
    return f"{done.stdout}\n{done.stderr}"

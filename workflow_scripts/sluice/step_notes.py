"""Where and with what each step ran, noted by the step itself as it ends.

Snakemake's notes (`sluice.run_records`) hold the command that made a file, but neither the machine
nor the packages: on a cluster, in a conda environment or in an image those are not the ones of the
process that asks later. A note lies under the hash of its command's words.
"""

import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from sluice.files import write_json
from sluice.logs import get_logger
from sluice.packages import installed_version

logger = get_logger(__name__)

PACKAGES = (
    "accelerate",
    "bitsandbytes",
    "datasets",
    "datasketch",
    "matplotlib",
    "mlflow",
    "numpy",
    "openai",
    "pandas",
    "peft",
    "pyarrow",
    "regex",
    "safetensors",
    "scikit-learn",
    "scipy",
    "snakemake",
    "tokenizers",
    "torch",
    "transformers",
    "vllm",
)
"""Packages that decide results; looking up all that are installed takes ten times as long."""

_SNAKEMAKE = Path(".snakemake")
_NOTES = _SNAKEMAKE / "sluice" / "steps"
_REPOSITORY = Path(__file__).resolve().parents[2]
_SCRIPT = re.compile(r"(?:.*/)?workflow_scripts/(\w+)\.py")
_OID = re.compile(r"^# branch\.oid ([0-9a-f]{40,64})$", re.MULTILINE)


class Machine(TypedDict):
    """The machine of a step, and its Python."""

    host: str
    system: str
    processor: str
    num_cpus: int | None
    python: str


class StepNote(TypedDict):
    """What a step ran with."""

    commit: str | None
    """The checkout's commit, with ``-dirty`` where tracked files differ; None outside of git."""
    machine: Machine
    packages: dict[str, str]
    """Version by name, of those of `PACKAGES` that the step's Python has."""


_STEP_NOTE = TypeAdapter(StepNote)


def note_step(script: str, words: Sequence[str], *, root: Path = Path()) -> None:
    """Notes what this process runs with; where Snakemake does not run, nothing.

    A note that cannot be written costs the step one line in its log and nothing else.

    Args:
        script: name of the script, without ``.py``.
        words: of its command line, behind the script.
        root: where Snakemake runs.
    """
    if not (root / _SNAKEMAKE).is_dir():
        return
    try:
        write_json(_note_file(script, words, root=root), describe_process())
    except OSError as error:
        logger.warning("what this step ran with could not be noted: %s", error)


def read_step_note(command: str, *, root: Path = Path()) -> StepNote | None:
    """What the last step with a command ran with; None where that was not noted.

    Args:
        command: the shell command, as Snakemake notes it.
        root: where Snakemake ran.
    """
    found = _script_and_words(command)
    if found is None:
        return None
    script, words = found
    try:
        return _STEP_NOTE.validate_json(_note_file(script, words, root=root).read_bytes())
    except (OSError, ValidationError):
        return None


def describe_process() -> StepNote:
    """What this process runs with."""
    versions = {name: version for name in PACKAGES if (version := installed_version(name))}
    return {
        "commit": _commit(),
        "machine": {
            "host": platform.node(),
            "system": platform.platform(),
            "processor": platform.machine(),
            "num_cpus": os.cpu_count(),
            "python": platform.python_version(),
        },
        "packages": versions,
    }


def _note_file(script: str, words: Sequence[str], *, root: Path) -> Path:
    digest = hashlib.sha256(json.dumps([script, *words]).encode()).hexdigest()
    return root / _NOTES / f"{digest[:32]}.json"


def command_words(command: str) -> list[str] | None:
    """The words of a command in front of ``> <log> 2>&1``; None of one that is cut off."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    # What stands in quotes may be such a word, too; the last one leads to the log.
    log = len(words) - 1 - words[::-1].index(">") if ">" in words else len(words)
    return words[:log]


def _script_and_words(command: str) -> tuple[str, list[str]] | None:
    """Script and words of ``python workflow_scripts/<script>.py <words> > <log> 2>&1``."""
    words = command_words(command) or []
    for place, word in enumerate(words):
        if match := _SCRIPT.fullmatch(word):
            return match[1], words[place + 1 :]
    return None


def _commit() -> str | None:
    """In one call of git, which must not lock what a person commits meanwhile.

    The repository is named, so that none around an unpacked copy, nor one of the environment, is
    taken for it.
    """
    command = ["git", "-C", str(_REPOSITORY), "--git-dir", ".git", "--work-tree", "."]
    command += ["--no-optional-locks", "status"]
    command += ["--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        # The branch's name need not be UTF-8.
        told = subprocess.run(command, capture_output=True).stdout.decode(errors="replace")
    except OSError:
        return None
    found = _OID.search(told)
    if found is None:
        return None
    is_dirty = any(line and not line.startswith("#") for line in told.splitlines())
    return found[1] + ("-dirty" if is_dirty else "")

"""Says what is stale and because of what, in words; runs nothing.

Example:
    python workflow_scripts/explain.py results/selected_data.jsonl
"""

import sys
from pathlib import Path

from tyro.conf import Positional

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Explain why targets would be made anew."""

    targets: Positional[tuple[str, ...]] = ()
    """Files or rules; without any, everything that the configuration asks for."""
    configfile: tuple[Path, ...] = ()
    """Configuration files beside config.yaml, as for snakemake."""


def main(arguments: Arguments) -> None:
    """Dry-runs, compares with the notes of earlier runs, prints."""
    from sluice.staleness import explain, find_stale_jobs, records_of

    files = [str(file) for file in arguments.configfile]
    jobs = find_stale_jobs(arguments.targets, options=["--configfile", *files] if files else [])
    sys.stdout.write("\n".join(explain(jobs, records=records_of(jobs))) + "\n")


if __name__ == "__main__":
    run(Arguments, main)

"""Says whether this machine is ready for the configured run: one line a question.

Example:
    python workflow_scripts/doctor.py results/flywheel/turn_2/summary.json \
        --configfile configs/flywheel_vllm.yaml
"""

import sys
from pathlib import Path

from tyro.conf import Positional

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Check what the configured run needs of this machine; exits 1 where something is missing."""

    targets: Positional[tuple[str, ...]] = ()
    """Files or rules that you want to make; without any, everything that the configuration asks
    for. Memory, disk and GPU are judged by what they need."""
    configfile: tuple[Path, ...] = ()
    """Configuration files beside config.yaml, as for snakemake; later ones win."""
    requirements: Path = Path("requirements.txt")
    """The pinned packages."""


def main(arguments: Arguments) -> None:
    """Asks, prints each answer as it comes, and counts the failures."""
    from sluice.config import load_config_files
    from sluice.doctor import examine

    files = [Path("config.yaml"), *arguments.configfile]
    config = load_config_files(files)
    options = ["--configfile", *map(str, arguments.configfile)] if arguments.configfile else []
    num_failed = 0
    findings = examine(
        config,
        requirements=arguments.requirements,
        targets=arguments.targets,
        options=options,
    )
    for finding in findings:
        sys.stdout.write("\n".join(finding.lines()) + "\n")
        num_failed += not finding.is_ok
    sys.exit(1 if num_failed else 0)


if __name__ == "__main__":
    run(Arguments, main)

"""Writes where the final artifacts come from: every file on the way, with hash, command and code.

Example:
    python workflow_scripts/write_provenance.py --targets results/selected_data.jsonl \
        --config-files config.yaml --output results/provenance.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import Seeded


class Arguments(Seeded):
    """Write where artifacts come from."""

    targets: tuple[str, ...]
    """The artifacts, as the rules name them."""
    config_files: tuple[Path, ...] = (Path("config.yaml"),)
    """What was configured."""
    output: Path = Path("results/provenance.json")
    """JSON to write."""


def main(arguments: Arguments) -> None:
    """Follows the notes of the runs back to the sources, and writes what it finds."""
    from sluice.files import write_json
    from sluice.lineage import describe_run

    described = describe_run(
        arguments.targets,
        config_files=arguments.config_files,
        seed=arguments.seed,
    )
    write_json(arguments.output, described)


if __name__ == "__main__":
    run(Arguments, main)

"""Compares two models or adapters on the same items: paired, tested, with intervals.

python workflow_scripts/compare_models.py --names base tuned --suites heldout \
    --first base/heldout.jsonl --second tuned/heldout.jsonl --folder base_vs_tuned
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.evaluation import CompareModels


class Arguments(CompareModels):
    """Compare two models or adapters on the same items."""

    names: tuple[str, str]
    """Names of the first and the second; differences are the second's minus the first's."""
    suites: tuple[str, ...]
    """Names of the suites, in the order of the files."""
    first: tuple[Path, ...]
    """Graded answers of the first, one file a suite, from grade_answers.py."""
    second: tuple[Path, ...]
    """Graded answers of the second."""
    folder: Path
    """Folder to write to: summary.md, comparison.json, comparison.csv and three pictures."""


def main(arguments: Arguments) -> None:
    """Reads, compares, writes."""
    from sluice.evaluation.comparison_run import compare_subjects

    compare_subjects(
        arguments.names,
        arguments.suites,
        graded=(arguments.first, arguments.second),
        settings=narrow(arguments, CompareModels),
        folder=arguments.folder,
    )


if __name__ == "__main__":
    run(Arguments, main)

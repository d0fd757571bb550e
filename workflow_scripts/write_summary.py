"""Writes what a run did as a page of text, and checks that no row was lost on the way.

python workflow_scripts/write_summary.py --ledgers results/selected_data.ledger.json ... \
    --selected results/selected_data.jsonl --output summary.txt
"""

from pathlib import Path

from sluice.cli import run
from sluice.files import write_text
from sluice.settings.base import Settings


class Arguments(Settings):
    """Write what a run did as a page of text."""

    ledgers: tuple[Path, ...]
    """Every ledger of the run, JSON."""
    selected: Path
    """The merged selection."""
    clean_share: tuple[Path, ...] = ()
    """Table of evaluate_scores, CSV; none where no truth is known."""
    files: tuple[Path, ...] = ()
    """Other files worth looking at."""
    output: Path
    """Text to write."""


def main(arguments: Arguments) -> None:
    """Reads the books, checks them, writes the page."""
    from sluice.report.summary import write_summary

    text = write_summary(
        arguments.ledgers,
        selected=arguments.selected,
        clean_share=next(iter(arguments.clean_share), None),
        files=arguments.files,
    )
    write_text(arguments.output, text)


if __name__ == "__main__":
    run(Arguments, main)

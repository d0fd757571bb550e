"""Draws accuracy by group (a defect's subtype, a kind of item): bars with counts and intervals.

python workflow_scripts/plot_subtype_accuracy.py --table heldout.csv --title "tuned on heldout" \
    --picture subtype_accuracy.png
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Draw accuracy by group."""

    table: Path
    """Accuracy by group, CSV, from grade_answers.py."""
    title: str = "Accuracy by group"
    """Headline of the picture."""
    picture: Path
    """PNG to write."""


def main(arguments: Arguments) -> None:
    """Reads, draws, writes."""
    from sluice.evaluation.grades import read_accuracy_table
    from sluice.evaluation.pictures import plot_subtype_accuracy
    from sluice.figures import save_figure

    table = read_accuracy_table(arguments.table)
    save_figure(plot_subtype_accuracy(table, title=arguments.title), arguments.picture)


if __name__ == "__main__":
    run(Arguments, main)

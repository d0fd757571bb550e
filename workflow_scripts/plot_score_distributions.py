"""Draws the distribution of each score, one line per dataset.

python workflow_scripts/plot_score_distributions.py --scores a.parquet b.parquet --picture out.png
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Draw the distribution of each score, one line per dataset."""

    scores: tuple[Path, ...]
    """Scores of one or more datasets, Parquet."""
    picture: Path
    """PNG to write."""


def main(arguments: Arguments) -> None:
    """Reads, draws, writes."""
    from sluice.figures import save_figure
    from sluice.report.pictures import plot_score_distributions, read_scores

    save_figure(plot_score_distributions(read_scores(arguments.scores)), arguments.picture)


if __name__ == "__main__":
    run(Arguments, main)

"""Draws scores by flaw kind, where the truth is known.

python workflow_scripts/plot_score_by_flaw.py --scores a.parquet --truths a.truth.parquet \
    --picture out.png
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Draw scores by flaw kind, where the truth is known."""

    scores: tuple[Path, ...] = ()
    """Scores of datasets whose truth is known, Parquet."""
    truths: tuple[Path, ...] = ()
    """Their truth: Parquet with id, is_flawed, flaw."""
    picture: Path
    """PNG to write."""


def main(arguments: Arguments) -> None:
    """Reads, draws, writes."""
    from sluice.figures import save_figure
    from sluice.report.pictures import plot_score_by_flaw
    from sluice.report.score_evaluation import read_labelled_scores

    labelled = read_labelled_scores(arguments.scores, arguments.truths)
    save_figure(plot_score_by_flaw(labelled), arguments.picture)


if __name__ == "__main__":
    run(Arguments, main)

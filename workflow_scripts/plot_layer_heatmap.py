"""Draws the mean gate score of every layer, by flaw kind where the truth is known, or by dataset.

python workflow_scripts/plot_layer_heatmap.py --scores a.parquet b.parquet --picture out.png
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Draw the mean gate score of every layer."""

    scores: tuple[Path, ...]
    """Scores of one or more datasets, Parquet."""
    truths: tuple[Path, ...] = ()
    """Their truth, where all of it is known: Parquet with id, is_flawed, flaw."""
    picture: Path
    """PNG to write."""


def main(arguments: Arguments) -> None:
    """Reads, draws, writes."""
    from sluice.figures import save_figure
    from sluice.report.pictures import plot_layer_heatmap, read_scores
    from sluice.report.score_evaluation import read_labelled_scores

    if arguments.truths:
        table = read_labelled_scores(arguments.scores, arguments.truths)
        figure = plot_layer_heatmap(table.assign(flaw=table["flaw"].fillna("clean")), group="flaw")
    else:
        figure = plot_layer_heatmap(read_scores(arguments.scores), group="dataset")
    save_figure(figure, arguments.picture)


if __name__ == "__main__":
    run(Arguments, main)

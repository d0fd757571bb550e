"""Measures scores against a known truth: AUROC by flaw kind, and how clean the best samples are.

python workflow_scripts/evaluate_scores.py --scores results/scores/mine.parquet \
    --truths mine.truth.parquet --auroc auroc.csv --clean-share clean_share.csv
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Measure scores against a known truth."""

    scores: tuple[Path, ...] = ()
    """Scores of datasets whose truth is known, Parquet."""
    truths: tuple[Path, ...] = ()
    """Their truth: Parquet with id, is_flawed, flaw."""
    selected: tuple[Path, ...] = ()
    """The samples that were selected from these datasets, JSONL."""
    random: tuple[Path, ...] = ()
    """As many samples drawn at random, JSONL."""
    auroc: Path
    """AUROC by score and flaw kind to write, CSV."""
    clean_share: Path
    """Share of clean samples among the best to write, CSV."""


def main(arguments: Arguments) -> None:
    """Reads, measures, writes."""
    from sluice.records import read_samples
    from sluice.report.score_evaluation import auroc_table, clean_share_table, read_labelled_scores
    from sluice.tables import write_csv

    chosen = {"selected": arguments.selected, "random": arguments.random}
    choices = {
        name: {sample.id for path in paths for sample in read_samples(path)}
        for name, paths in chosen.items()
        if paths
    }
    labelled = read_labelled_scores(arguments.scores, arguments.truths)
    write_csv(arguments.auroc, auroc_table(labelled))
    write_csv(arguments.clean_share, clean_share_table(labelled, choices=choices))


if __name__ == "__main__":
    run(Arguments, main)

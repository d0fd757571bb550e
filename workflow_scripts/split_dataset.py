"""Splits clean samples into train.jsonl and test.jsonl.

python workflow_scripts/split_dataset.py --samples clean.jsonl --clusters clusters.parquet \
    --dataset numbers --train train.jsonl --test test.jsonl --summary split.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.data.split import split_dataset, write_summary
from sluice.ledger import Ledger
from sluice.settings.data import SplitDataset


class Arguments(SplitDataset):
    """Split by group; whole near-duplicate clusters go to one side."""

    samples: Path
    """Clean samples, JSONL, from drop_overlap.py."""
    clusters: Path
    """Cluster of each sample, Parquet, from drop_overlap.py."""
    dataset: str
    """Name of the dataset, for the ledger."""
    train: Path
    """Samples to learn from and to score, JSONL."""
    test: Path
    """Samples held back, JSONL."""
    summary: Path
    """Counts by side and group, JSON; the ledger is written beside."""


def main(arguments: Arguments) -> None:
    """Splits and writes the counts."""
    ledger = Ledger(
        "split_dataset", arguments.dataset, path=arguments.summary.with_suffix(".ledger.json")
    )
    with ledger:
        summary = split_dataset(
            arguments.samples,
            arguments.clusters,
            test_ratio=arguments.test_ratio,
            seed=arguments.seed,
            train=arguments.train,
            test=arguments.test,
            ledger=ledger,
        )
    write_summary(arguments.summary, summary)


if __name__ == "__main__":
    run(Arguments, main)

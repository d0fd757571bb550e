"""Turns per-token records into one row per sample and one column per score.

python workflow_scripts/score_samples.py --router-data mine_router_data.pt --output mine.parquet
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.selection import ScoreSamples


class Arguments(ScoreSamples):
    """Score every sample of a dataset."""

    router_data: Path
    """Router data of the dataset, ragged or dense."""
    output: Path
    """Scores to write, Parquet."""


def main(arguments: Arguments) -> None:
    """Reads, scores, writes."""
    from sluice.router_data import read_router_data
    from sluice.selection.scores import score_samples
    from sluice.tables import write_parquet

    data = read_router_data(arguments.router_data)
    write_parquet(arguments.output, score_samples(data, settings=narrow(arguments, ScoreSamples)))


if __name__ == "__main__":
    run(Arguments, main)

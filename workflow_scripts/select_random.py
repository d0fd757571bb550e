"""Draws samples of one dataset at random: the control for every selection.

python workflow_scripts/select_random.py --scores mine.parquet --samples train.jsonl \
    --dataset mine --output random.jsonl --ledger random.ledger.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.selection import SelectRandom


class Arguments(SelectRandom):
    """Draw as many samples as select_samples keeps."""

    scores: Path
    """Scores, Parquet."""
    samples: Path
    """The dataset's canonical samples, JSONL."""
    dataset: str
    """The dataset's name."""
    output: Path
    """Kept samples to write, JSONL."""
    ledger: Path
    """Row counts to write, JSON."""


def main(arguments: Arguments) -> None:
    """Reads, draws, writes."""
    from sluice.selection.keeping import read_scores, write_selection
    from sluice.selection.ranking import select_random

    scores = read_scores([arguments.scores])
    settings = narrow(arguments, SelectRandom)
    rows = select_random(scores, settings=settings, seed=settings.seed)
    write_selection(
        "select_random",
        scores,
        rows,
        arguments.samples,
        dataset=arguments.dataset,
        output=arguments.output,
        ledger_path=arguments.ledger,
    )


if __name__ == "__main__":
    run(Arguments, main)

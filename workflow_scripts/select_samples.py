"""Keeps the best samples of one dataset, best first, with their scores and ranks.

python workflow_scripts/select_samples.py --scores mine.parquet --samples train.jsonl \
    --dataset mine --output selected.jsonl --ledger selected.ledger.json --selection-percentage 0.1
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.selection import SelectSamples


class Arguments(SelectSamples):
    """Keep the best samples of one dataset."""

    scores: tuple[Path, ...]
    """Scores, Parquet; those of all datasets where the best of all together are kept."""
    samples: Path
    """The dataset's canonical samples, JSONL."""
    dataset: str
    """The dataset's name."""
    output: Path
    """Kept samples to write, JSONL."""
    ledger: Path
    """Row counts to write, JSON."""


def main(arguments: Arguments) -> None:
    """Reads, ranks, writes."""
    from sluice.selection.keeping import read_scores, write_selection
    from sluice.selection.ranking import select_samples

    scores = read_scores(arguments.scores)
    rows = select_samples(scores, settings=narrow(arguments, SelectSamples))
    write_selection(
        "select_samples",
        scores,
        rows,
        arguments.samples,
        dataset=arguments.dataset,
        output=arguments.output,
        ledger_path=arguments.ledger,
    )


if __name__ == "__main__":
    run(Arguments, main)

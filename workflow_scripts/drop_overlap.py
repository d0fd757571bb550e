"""Makes clean.jsonl: samples without exact and near duplicates and without evaluation questions.

python workflow_scripts/drop_overlap.py --samples results/data/numbers/samples.jsonl \
    --output clean.jsonl --clusters clusters.parquet --dataset numbers \
    --evaluation-texts heldout.jsonl
"""

from pathlib import Path

from sluice.cli import run
from sluice.ledger import Ledger
from sluice.logs import get_logger
from sluice.settings.data import DropOverlap


class Arguments(DropOverlap):
    """Drop samples that repeat another one, or that share text with an evaluation question."""

    samples: Path
    """Canonical samples, JSONL, from convert_dataset.py."""
    dataset: str
    """Name of the dataset, for the ledger."""
    output: Path
    """Kept samples, JSONL; the rejected ones and the ledger are written beside."""
    clusters: Path
    """Near-duplicate cluster of each kept sample, Parquet, for split_dataset.py."""


def main(arguments: Arguments) -> None:
    """Reads the questions, cleans, logs the ledger."""
    from sluice.data.cleaning import drop_overlap
    from sluice.similarity.evaluation_texts import read_questions

    questions = read_questions([Path(name) for name in arguments.evaluation_texts])
    ledger = Ledger(
        "drop_overlap",
        arguments.dataset,
        path=arguments.output.with_suffix(".ledger.json"),
        rejected_path=arguments.output.with_suffix(".rejected.jsonl"),
    )
    with ledger:
        drop_overlap(
            arguments.samples,
            questions=questions,
            settings=arguments,
            output=arguments.output,
            clusters=arguments.clusters,
            ledger=ledger,
        )
    get_logger("sluice.drop_overlap").info("%s", ledger.summary())


if __name__ == "__main__":
    run(Arguments, main)

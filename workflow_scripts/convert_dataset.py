"""Turns any source format into canonical samples; rows that cannot be used are counted and kept.

python workflow_scripts/convert_dataset.py --path alpaca.json --dataset alpaca \
    --samples samples.jsonl --ledger samples.ledger.json --rejected samples.rejected.jsonl
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.data import ConvertDataset, DatasetSource


class Arguments(ConvertDataset, DatasetSource):
    """Convert one dataset."""

    dataset: str
    """The dataset's name."""
    samples: Path
    """Canonical samples to write, JSONL."""
    ledger: Path
    """Row counts to write, JSON."""
    rejected: Path
    """Rows that cannot be used, with the reason, to write, JSONL."""
    legal_prompt: Path = Path("resources/prompts/legal_judgment_v1.txt")
    """Template that LawShift cases are put into: {articles}, {fact}."""
    kept_on_failure: Path = Path("rejected.jsonl")
    """Where the rejected rows go when there are too many of them."""


def main(arguments: Arguments) -> None:
    """Converts row by row."""
    from sluice.data.conversion import convert_dataset

    convert_dataset(
        narrow(arguments, DatasetSource),
        dataset=arguments.dataset,
        settings=narrow(arguments, ConvertDataset),
        legal_prompt=arguments.legal_prompt,
        samples_path=arguments.samples,
        ledger_path=arguments.ledger,
        rejected_path=arguments.rejected,
        kept_on_failure=arguments.kept_on_failure,
    )


if __name__ == "__main__":
    run(Arguments, main)

"""Makes the built-in world: three datasets with known flaws, a base corpus and held-out sets.

Example:
python workflow_scripts/make_demo_data.py --resources resources/demo --folder results/demo
"""

from pathlib import Path

from sluice.cli import run
from sluice.data.demo.writing import make_demo_data
from sluice.settings.data import MakeDemoData


class Arguments(MakeDemoData):
    """Make the built-in datasets, their truth, the base corpus and the held-out sets."""

    resources: Path = Path("resources/demo")
    """Folder of the word lists: words, numbers, countries, cases (JSON)."""
    folder: Path
    """Folder for <dataset>.jsonl, <dataset>.truth.parquet, heldout_*.jsonl and base_corpus.*."""


def main(arguments: Arguments) -> None:
    """Makes the world."""
    make_demo_data(
        arguments.resources, folder=arguments.folder, settings=arguments, seed=arguments.seed
    )


if __name__ == "__main__":
    run(Arguments, main)

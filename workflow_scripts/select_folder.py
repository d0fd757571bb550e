"""Scores and selects every `*_router_data.pt` of a folder, without Snakemake.

python workflow_scripts/select_folder.py --router-data-dir router_data --samples-dir data \
    --output-dir selected --selection-percentage 0.05
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.selection import ScoreSamples, SelectSamples


class Arguments(SelectSamples, ScoreSamples):
    """Select from every router data file of a folder."""

    router_data_dir: Path
    """Folder of `<dataset>_router_data.pt` files."""
    samples_dir: Path
    """Folder of the samples: `<dataset>.jsonl`, or `<dataset>/train.jsonl`."""
    output_dir: Path
    """Where `<dataset>.jsonl`, its ledger and its scores are written."""


def main(arguments: Arguments) -> None:
    """Selects from each file in the order of their names."""
    from sluice.selection.folders import select_folder

    select_folder(
        arguments.router_data_dir,
        arguments.samples_dir,
        arguments.output_dir,
        scoring=narrow(arguments, ScoreSamples),
        selection=narrow(arguments, SelectSamples),
    )


if __name__ == "__main__":
    run(Arguments, main)

"""Puts the kept samples of all datasets into one file, and reads it back with `datasets`.

python workflow_scripts/merge_selected.py --selected a.jsonl b.jsonl --output selected_data.jsonl
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Merge the kept samples: all first ranks, then all second ranks, and so on."""

    selected: tuple[Path, ...]
    """Files of select_samples."""
    output: Path
    """Kept samples to write, JSONL."""
    ledger: Path = Path("selected_data.ledger.json")
    """Row counts to write, JSON."""


def main(arguments: Arguments) -> None:
    """Reads all, writes one."""
    from sluice.selection.keeping import merge_selected

    merge_selected(arguments.selected, output=arguments.output, ledger_path=arguments.ledger)


if __name__ == "__main__":
    run(Arguments, main)

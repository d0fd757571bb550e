"""Draws README.md's picture of the rules anew from the workflow itself: `make docs`."""

from pathlib import Path

from sluice.cli import run
from sluice.files import write_text
from sluice.rule_graph import replace_graph, rule_graph
from sluice.settings.base import Settings


class Arguments(Settings):
    """Draw the README's picture of the rules anew."""

    readme: Path = Path("README.md")
    """The file with one Mermaid block."""


def main(arguments: Arguments) -> None:
    """Replaces the block."""
    text = arguments.readme.read_text(encoding="utf-8")
    write_text(arguments.readme, replace_graph(text, rule_graph()))


if __name__ == "__main__":
    run(Arguments, main)

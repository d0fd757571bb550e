"""Writes docs/config.md and config.schema.json from the settings models: `make docs`."""

from pathlib import Path

from sluice.cli import run
from sluice.config_docs import config_reference, json_schema
from sluice.files import write_text
from sluice.settings.base import Settings


class Arguments(Settings):
    """Write the configuration reference and the editor schema anew."""

    reference: Path = Path("docs/config.md")
    """The reference, Markdown."""
    schema_file: Path = Path("config.schema.json")
    """The JSON schema."""


def main(arguments: Arguments) -> None:
    """Writes both files."""
    write_text(arguments.reference, config_reference())
    write_text(arguments.schema_file, json_schema())


if __name__ == "__main__":
    run(Arguments, main)

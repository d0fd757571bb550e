"""Joins the shards of one dataset's router data, samples sorted by id."""

from pathlib import Path

from sluice.cli import run
from sluice.files import copy_file
from sluice.settings.base import Settings


class Arguments(Settings):
    """Join the shards of one dataset's router data."""

    shards: tuple[Path, ...]
    """Router data files of one dataset."""
    output: Path
    """Router data file to write."""


def main(arguments: Arguments) -> None:
    """Reads all shards, writes one file; of one shard, whose samples are sorted, a copy."""
    if len(arguments.shards) == 1:
        copy_file(arguments.shards[0], arguments.output)
        return
    from sluice.router_data import join_router_data, read_router_data, write_router_data

    parts = [read_router_data(path) for path in arguments.shards]
    write_router_data(arguments.output, join_router_data(parts))


if __name__ == "__main__":
    run(Arguments, main)

"""Exchanges on disk as they end, so that a run that is killed loses none."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from sluice.sealed_lines import recover, seal


class ExchangeLog:
    """A file of exchanges, one a line (`sluice.sealed_lines`).

    A line that was cut off in the writing, or changed since, is forgotten: its exchange, and those
    of its dialogue that followed, are made again.

    Args:
        path: the file; its lines are read first if it is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._exchanges: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for entry in recover(path):
            self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        exchanges = self._exchanges[entry["dialogue"]]
        if entry["exchange"] == len(exchanges):
            exchanges.append(entry["record"])

    def exchanges(self, dialogue: str) -> list[dict[str, Any]]:
        """A dialogue's exchanges so far."""
        return list(self._exchanges[dialogue])

    @property
    def num_exchanges(self) -> int:
        """Exchanges of all dialogues."""
        return sum(map(len, self._exchanges.values()))

    def add(self, dialogue: str, record: dict[str, Any]) -> None:
        """Adds a dialogue's next exchange; it is in the file when this returns."""
        exchanges = self._exchanges[dialogue]
        entry = {"dialogue": dialogue, "exchange": len(exchanges), "record": record}
        with open(self._path, "ab", buffering=0) as stream:
            stream.write(seal(entry))
        exchanges.append(record)

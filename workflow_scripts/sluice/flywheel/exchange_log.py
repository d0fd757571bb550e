"""Exchanges on disk as they end, so that a run that is killed loses none."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any


class ExchangeLog:
    """A file of exchanges, one JSON object a line.

    A line that was cut off in the writing is forgotten: its exchange is made again.

    Args:
        path: the file; its lines are read first if it is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._exchanges: dict[str, list[dict[str, Any]]] = defaultdict(list)
        if path.exists():
            for line in path.read_bytes().split(b"\n"):
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            return  # empty, or torn
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
        line = json.dumps(entry, ensure_ascii=True)
        # The newline in front ends a line that another run was killed in.
        with open(self._path, "ab", buffering=0) as stream:
            stream.write(f"\n{line}\n".encode())
        exchanges.append(record)

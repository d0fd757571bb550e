r"""Decisions on disk as they come: a killed run loses the batch that it was at, and no more.

One JSON object a line, one line a batch: ``{"task", "seconds", "decisions": [[index, is_correct,
predicted, losses], ...]}``, the seconds since the line before. A last line without ``\n`` was cut
off in the writing and is forgotten.
"""

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from sluice.core_metric.decisions import Decision


class Notes:
    """The notes of one run: read on entry, and added to.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.decisions: dict[str, dict[int, Decision]] = defaultdict(dict)
        """Task -> index of the item -> decision."""
        self.seconds: dict[str, float] = defaultdict(float)
        """Task -> time spent on it, in all runs together."""
        self._path = path
        self._stream: IO[bytes] | None = None
        self._last = 0.0

    @property
    def num_decisions(self) -> int:
        """Items decided so far, of all tasks."""
        return sum(map(len, self.decisions.values()))

    def __enter__(self) -> Self:
        whole = self._read()
        self._stream = open(self._path, "ab")
        self._stream.truncate(whole)
        self._last = time.monotonic()
        return self

    def _read(self) -> int:
        """Takes up every whole line, and returns how many bytes they are."""
        size = 0
        if self._path.exists():
            with open(self._path, "rb") as stream:
                for line in stream:
                    if line.endswith(b"\n"):
                        size += len(line)
                        self._take(json.loads(line))
        return size

    def _take(self, entry: dict[str, Any]) -> None:
        self.seconds[entry["task"]] += entry["seconds"]
        for index, is_correct, predicted, losses in entry["decisions"]:
            decision = Decision(index, is_correct, predicted, tuple(losses))
            self.decisions[entry["task"]][index] = decision

    def add(self, task: str, decisions: Sequence[Decision]) -> None:
        """Notes one batch; it is in the file when this returns."""
        assert self._stream is not None, "used outside of its with block"
        now = time.monotonic()
        entry = {
            "task": task,
            "seconds": round(now - self._last, 6),
            "decisions": [
                [each.index, each.is_correct, each.predicted, each.losses_nats]
                for each in decisions
            ],
        }
        self._last = now
        self._stream.write(json.dumps(entry).encode() + b"\n")
        self._stream.flush()
        self._take(entry)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._stream is not None
        self._stream.close()

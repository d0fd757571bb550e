r"""Results on disk as they come, with their seconds, so that a killed run loses none that it had.

One entry a line (`sluice.sealed_lines`), with ``seconds``: those since the line before. A line that
was cut off in the writing, or changed since, is forgotten.
"""

import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from sluice.sealed_lines import recover, seal


class TimedNotes(ABC):
    """The notes of one run: read on entry, and added to.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: IO[bytes] | None = None
        self._last = 0.0

    @abstractmethod
    def _take(self, entry: dict[str, Any]) -> None:
        """Takes up the content of one line."""

    def __enter__(self) -> Self:
        for entry in recover(self._path):
            self._take(entry)
        self._stream = open(self._path, "ab")
        self._last = time.monotonic()
        return self

    def _note(self, entry: dict[str, Any]) -> None:
        """Writes a line and takes it up; it is in the file when this returns."""
        assert self._stream is not None, "used outside of its with block"
        now = time.monotonic()
        timed = {**entry, "seconds": round(now - self._last, 6)}
        self._last = now
        self._stream.write(seal(timed))
        self._stream.flush()
        self._take(timed)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._stream is not None
        self._stream.close()

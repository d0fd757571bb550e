r"""Results on disk as they come, with their seconds, so that a killed run loses none that it had.

One JSON object a line, with ``seconds``: those since the line before. A last line without ``\n``
was cut off in the writing and is forgotten.
"""

import json
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self


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

    def _note(self, entry: dict[str, Any]) -> None:
        """Writes a line and takes it up; it is in the file when this returns."""
        assert self._stream is not None, "used outside of its with block"
        now = time.monotonic()
        timed = {**entry, "seconds": round(now - self._last, 6)}
        self._last = now
        self._stream.write(json.dumps(timed).encode() + b"\n")
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

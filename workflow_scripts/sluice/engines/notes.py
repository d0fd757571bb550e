r"""Completions on disk as they come, so that a killed run loses none that it had.

One JSON object a line: ``{"index", "text", "num_tokens", "finish_reason", "seconds"}``, the seconds
since the line before. A last line without ``\n`` was cut off in the writing and is forgotten.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from sluice.engines.engine import Completion, Engine, Request, Sampling
from sluice.errors import EngineError
from sluice.logs import get_logger, progress

logger = get_logger(__name__)


class Notes:
    """The notes of one run: read on entry, and added to.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.completions: dict[int, Completion] = {}
        """Index of the request -> its completion."""
        self.seconds = 0.0
        """Time spent generating, in all runs together."""
        self._path = path
        self._stream: IO[bytes] | None = None
        self._last = 0.0

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

    def _take(self, entry: dict[str, object]) -> None:
        self.seconds += entry.pop("seconds")  # type: ignore[operator]
        index = entry.pop("index")
        assert isinstance(index, int)
        self.completions[index] = Completion(**entry)  # type: ignore[arg-type]

    def add(self, index: int, completion: Completion) -> None:
        """Notes one completion; it is in the file when this returns."""
        assert self._stream is not None, "used outside of its with block"
        assert index not in self.completions, f"request {index} is answered twice"
        now = time.monotonic()
        entry = {"index": index, **vars(completion), "seconds": round(now - self._last, 6)}
        self._last = now
        self._stream.write(json.dumps(entry).encode() + b"\n")
        self._stream.flush()
        self.completions[index] = completion
        self.seconds += entry["seconds"]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._stream is not None
        self._stream.close()


def generate_all(
    engine: Engine, requests: Sequence[Request], *, sampling: Sampling, notes_path: Path
) -> tuple[list[Completion], float]:
    """All completions, in the order of the requests, and the seconds that they took.

    Each is noted on disk as soon as the engine has it; what an earlier run noted is not generated
    again.

    Raises:
        EngineError: the engine failed, or returned fewer completions than were asked for.
    """
    with Notes(notes_path) as notes:
        done = notes.completions
        if done:
            logger.info("%d of %d completions are there already", len(done), len(requests))
        arriving = engine.generate(requests, sampling=sampling, skip=frozenset(done))
        for index, completion in progress(
            arriving, total=len(requests), what="completions", logger=logger, start=len(done)
        ):
            notes.add(index, completion)
        missing = len(requests) - len(notes.completions)
        if missing:
            raise EngineError(f"the engine left {missing:,} of {len(requests):,} requests open")
        return [notes.completions[index] for index in range(len(requests))], notes.seconds

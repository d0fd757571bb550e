"""Completions on disk as they come, so that a killed run loses none that it had."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sluice.engines.engine import Completion, Engine, Request, Sampling, Unfinished
from sluice.errors import EngineError
from sluice.logs import get_logger, progress
from sluice.timed_notes import TimedNotes

logger = get_logger(__name__)


class Notes(TimedNotes):
    """The notes of one run, a line ``{"index", "text", "num_tokens", "finish_reason", "seconds"}``.

    A line of ``seconds`` alone is time that was spent on completions that were not finished then.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.completions: dict[int, Completion] = {}
        """Index of the request -> its completion."""
        self.seconds = 0.0
        """Time spent generating, in all runs together."""

    def _take(self, entry: dict[str, Any]) -> None:
        self.seconds += entry["seconds"]
        if "index" not in entry:  # of `add_time`
            return
        values = {name: entry[name] for name in entry if name not in ("index", "seconds")}
        self.completions[entry["index"]] = Completion(**values)

    def add_time(self) -> None:
        """Notes the time since the last note, so that it counts even if the run is killed."""
        self._note({})

    def add(self, index: int, completion: Completion) -> None:
        """Notes one completion; it is in the file when this returns."""
        assert index not in self.completions, f"request {index} is answered twice"
        self._note({"index": index, **vars(completion)})


def generate_all(
    engine: Engine, requests: Sequence[Request], *, sampling: Sampling, notes_path: Path
) -> tuple[list[Completion], float]:
    """All completions, in the order of the requests, and the seconds that they took.

    Each is noted on disk as soon as the engine has it, and what it has of unfinished ones at least
    every minute; what an earlier run noted is not generated again.

    Raises:
        EngineError: the engine failed, or returned fewer completions than were asked for.
    """
    with Notes(notes_path) as notes:
        done = notes.completions
        if done:
            logger.info("%d of %d completions are there already", len(done), len(requests))
        unfinished = Unfinished(notes_path.parent / "unfinished", on_saved=notes.add_time)
        arriving = engine.generate(
            requests, sampling=sampling, skip=frozenset(done), unfinished=unfinished
        )
        for index, completion in progress(
            arriving, total=len(requests), what="completions", logger=logger, start=len(done)
        ):
            notes.add(index, completion)
        missing = len(requests) - len(notes.completions)
        if missing:
            raise EngineError(f"the engine left {missing:,} of {len(requests):,} requests open")
        return [notes.completions[index] for index in range(len(requests))], notes.seconds

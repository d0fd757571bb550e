"""Decisions on disk as they come: a killed run loses the batch that it was at, and no more."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sluice.core_metric.decisions import Decision
from sluice.timed_notes import TimedNotes


class Notes(TimedNotes):
    """The notes of one run, a line for each batch.

    A line is ``{"task", "decisions": [[index, is_correct, predicted, losses], ...], "seconds"}``.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.decisions: dict[str, dict[int, Decision]] = defaultdict(dict)
        """Task -> index of the item -> decision."""
        self.seconds: dict[str, float] = defaultdict(float)
        """Task -> time spent on it, in all runs together."""

    @property
    def num_decisions(self) -> int:
        """Items decided so far, of all tasks."""
        return sum(map(len, self.decisions.values()))

    def _take(self, entry: dict[str, Any]) -> None:
        self.seconds[entry["task"]] += entry["seconds"]
        for index, is_correct, predicted, losses in entry["decisions"]:
            decision = Decision(index, is_correct, predicted, tuple(losses))
            self.decisions[entry["task"]][index] = decision

    def add(self, task: str, decisions: Sequence[Decision]) -> None:
        """Notes one batch; it is in the file when this returns."""
        rows = [
            [each.index, each.is_correct, each.predicted, each.losses_nats] for each in decisions
        ]
        self._note({"task": task, "decisions": rows})

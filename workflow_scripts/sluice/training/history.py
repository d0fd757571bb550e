"""What happened so far in a training: the curve, and what follows from it alone.

It is written into every checkpoint, so that an interrupted run decides as an undisturbed one.
"""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from sluice.errors import DataError
from sluice.files import hash_file, read_json, write_json
from sluice.logs import get_logger

logger = get_logger(__name__)

_NAME = "history.json"


@dataclass
class History:
    """The loss of every step and of every evaluation, nats."""

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    eval_steps: list[int] = field(default_factory=list)
    eval_losses: list[float] = field(default_factory=list)

    @property
    def num_steps(self) -> int:
        """Steps done."""
        return len(self.losses)

    def best_step(self) -> int | None:
        """The step of the lowest eval loss, the earliest of equal ones; None before the first."""
        if not self.eval_losses:
            return None
        return self.eval_steps[self.eval_losses.index(min(self.eval_losses))]

    def is_over(self, *, num_steps: int, patience: int | None) -> bool:
        """Whether all steps are done, or ``patience`` evaluations brought nothing better."""
        if self.num_steps >= num_steps:
            return True
        best = self.best_step()
        if patience is None or best is None:
            return False
        return len(self.eval_steps) - 1 - self.eval_steps.index(best) >= patience

    def check_finite(self) -> bool:
        """Whether the last loss is a number."""
        return not self.losses or math.isfinite(self.losses[-1])

    def save(self, folder: Path) -> None:
        """Writes it into a checkpoint, with the hashes of all files there.

        This is also the mark that the checkpoint is whole.
        """
        write_json(folder / _NAME, {"history": asdict(self), "sha256": _hashes(folder)})


class _Mark(TypedDict):
    history: History
    sha256: dict[str, str]


_MARK = TypeAdapter(_Mark)


def latest_checkpoint(folder: Path) -> tuple[Path, History] | None:
    """The last undamaged checkpoint of a run, and its history; None where there is none."""
    marked = [path.parent for path in folder.glob(f"checkpoint-*/{_NAME}")]
    latest_first = sorted(marked, key=lambda path: -int(path.name.removeprefix("checkpoint-")))
    for checkpoint in latest_first:
        try:
            mark = _MARK.validate_python(read_json(checkpoint / _NAME))
        except (DataError, ValidationError):
            mark = None
        if mark and mark["sha256"] == _hashes(checkpoint):
            return checkpoint, mark["history"]
        logger.warning("%s is damaged; an earlier one is gone on from", checkpoint)
    return None


def _hashes(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != _NAME)
    return {file.relative_to(folder).as_posix(): hash_file(file) for file in files}

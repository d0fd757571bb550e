"""What a training has done so far: its curves, and the note from which it can go on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from sluice.logs import get_logger
from sluice.tensor_files import read_progress, write_tensors

logger = get_logger(__name__)

_NOTE = "progress.pt"


@dataclass
class TrainingLog:
    """Loss in nats per target token and learning rate of each step, and the evaluations."""

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    num_tokens: int = 0
    """Tokens seen, padding left out."""
    eval_steps: list[int] = field(default_factory=list)
    """Steps done before each evaluation."""
    eval_losses: list[float] = field(default_factory=list)
    """Nats per held-out token, begin tokens left out."""
    eval_bits_per_byte: list[float] = field(default_factory=list)

    @property
    def num_steps(self) -> int:
        """Steps done."""
        return len(self.losses)


def note_progress(
    state: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    log: TrainingLog,
) -> None:
    """Writes all that the next steps depend on, whole or not at all."""
    notes = {
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "log": vars(log),
    }
    write_tensors(state / _NOTE, notes)


def resume(
    state: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> TrainingLog:
    """The log so far; weights and optimizers are brought to that point."""
    path = state / _NOTE
    notes = read_progress(path) if path.exists() else None
    if notes is None:
        return TrainingLog()
    model.load_state_dict(notes["model"])
    for optimizer, saved in zip(optimizers, notes["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    log = TrainingLog(**notes["log"])
    logger.info("going on after step %d of an interrupted run", log.num_steps)
    return log

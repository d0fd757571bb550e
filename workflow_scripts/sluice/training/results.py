"""What a fine-tuning learnt from, and what it writes once it is over."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import TrainingError
from sluice.files import atomic_folder, write_json
from sluice.logs import get_logger
from sluice.settings.training import FineTune
from sluice.training.adapters import BaseModel, method_done, tidy_adapter
from sluice.training.batching import TrainingSample
from sluice.training.history import History

logger = get_logger(__name__)

_KEPT_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "adapter_config.json",
    "config.json",
    "generation_config.json",
)


@dataclass(frozen=True)
class Outputs:
    """What a fine-tuning writes."""

    model: Path
    metrics: Path
    logs: Path
    ledger: Path
    rejected: Path


@dataclass(frozen=True)
class Plan:
    """What is learnt from, in which order."""

    train: list[TrainingSample]
    held_out: list[TrainingSample]
    steps: list[list[int]]
    steps_per_epoch: int

    @property
    def mean_weight(self) -> float:
        """Of the samples that are learnt from."""
        return mean_weight(self.train)


def mean_weight(samples: Sequence[TrainingSample]) -> float:
    """Of a set of samples, none of them empty."""
    return math.fsum(sample.weight for sample in samples) / len(samples)


def write_results(
    base: BaseModel,
    tokenizer: Any,
    plan: Plan,
    settings: FineTune,
    history: History,
    *,
    state: Path,
    outputs: Outputs,
) -> None:
    """Copies the best weights and the logs out of the state folder, and writes the metrics.

    Raises:
        TrainingError: someone removed those weights.
    """
    best = history.best_step()
    source = state / (f"checkpoint-{history.num_steps}" if best is None else f"best-{best}")
    if not source.is_dir():
        raise TrainingError(
            f"the weights of step {best or history.num_steps} are gone from {state}"
        )
    with atomic_folder(outputs.model) as folder:
        for pattern in _KEPT_FILES:
            for file in sorted(source.glob(pattern)):
                shutil.copyfile(file, folder / file.name)
        tidy_adapter(folder, base=base)
        tokenizer.save_pretrained(folder)
    with atomic_folder(outputs.logs) as folder:
        shutil.copytree(state / "logs", folder, dirs_exist_ok=True)
    write_json(outputs.metrics, _metrics(plan, settings, history))
    logger.info("kept step %d, loss %.4f", best or history.num_steps, history.losses[-1])


def _metrics(plan: Plan, settings: FineTune, history: History) -> dict[str, Any]:
    """Figures that are the same for the same run; times are in the log and in TensorBoard."""
    tail = history.losses[-len(plan.steps) // 10 :]
    return {
        "method": method_done(settings),
        "num_samples": len(plan.train),
        "num_held_out": len(plan.held_out),
        "mean_weight": plan.mean_weight,
        "num_steps": history.num_steps,
        "num_planned_steps": len(plan.steps),
        "best_step": history.best_step(),
        "best_eval_loss": min(history.eval_losses, default=None),
        "last_tenth_loss": math.fsum(tail) / len(tail),
        "num_target_tokens": sum(
            plan.train[i].num_targets for step in plan.steps[: history.num_steps] for i in step
        ),
        "losses": history.losses,
        "learning_rates": history.learning_rates,
        "eval_steps": history.eval_steps,
        "eval_losses": history.eval_losses,
    }

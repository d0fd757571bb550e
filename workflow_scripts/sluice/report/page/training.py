"""What was trained: a curve and the figures of each training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sluice.artifacts import read_curves, trained_name
from sluice.report.page.charts import loss_chart
from sluice.report.page.section import Section

_SETTINGS = ("method", "r", "alpha", "learning_rate", "batch_size", "accumulation", "max_steps")


def training_section(paths: Sequence[Path], *, configuration: Mapping[str, Any]) -> Section | None:
    """The trainings as a section; none where nothing was trained."""
    trainings = [_training(path, configuration=configuration) for path in paths]
    return Section("training", "Training", {"trainings": trainings}) if trainings else None


def _training(path: Path, *, configuration: Mapping[str, Any]) -> dict[str, Any]:
    kind, curves = read_curves(path)
    name = trained_name(path)
    entry = configuration.get("adapters", {}).get(name, {}) if kind == "adapter" else {}
    losses = curves["losses"]
    tail = losses[-max(1, len(losses) // 10) :]
    return {
        "name": name,
        "kind": kind,
        "chart": loss_chart(curves, key=f"{path.stem}-{name}".replace(".", "-"), name=name),
        "num_steps": len(losses),
        "first_loss": losses[0],
        "last_loss": sum(tail) / len(tail),
        "best_step": curves.get("best_step"),
        "best_eval_loss": curves.get("best_eval_loss"),
        "num_samples": curves.get("num_samples"),
        "num_tokens": curves.get("num_target_tokens", curves.get("num_tokens")),
        "model": entry.get("model"),
        "settings": {key: entry[key] for key in _SETTINGS if key in entry},
    }

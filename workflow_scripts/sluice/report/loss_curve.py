"""The picture of one training: loss, bits per byte and learning rate over its steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sluice.figures import COLOURS

_BITS = "eval_bits_per_byte"
# The smooth line is a mean over this share of all steps.
_WINDOW_SHARE = 0.05


def plot_loss_curve(metrics: Mapping[str, Any], *, name: str) -> Figure:
    """Loss of each step and its running mean, held-out loss, the kept step, learning rate.

    Args:
        metrics: the content of an adapter's metrics.json, or of a base model's training_log.json,
            which adds a panel of bits per byte where text was held out; of the form `DRAWN_CURVES`.
        name: the adapter's or the model's.
    """
    has_bits = bool(metrics.get(_BITS))
    heights = (3, 1.5, 1) if has_bits else (3, 1)
    figure, axes = plt.subplots(
        len(heights),
        1,
        sharex=True,
        height_ratios=heights,
        figsize=(7, 6 if has_bits else 4.5),
        layout="constrained",
    )
    _draw_losses(axes[0], metrics)
    if has_bits:
        axes[1].plot(metrics["eval_steps"], metrics[_BITS], "o-", color=COLOURS[1], ms=4)
        axes[1].set_ylabel("held out\n(bits per byte)")
    axes[-1].plot(_steps(metrics), metrics["learning_rates"], color=COLOURS[3], lw=1.2)
    axes[-1].set_ylabel("learning rate")
    axes[-1].set_xlabel("optimiser step")
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Training of {name}")
    return figure


def _steps(metrics: Mapping[str, Any]) -> range:
    return range(1, len(metrics["losses"]) + 1)


def _draw_losses(axis: Axes, metrics: Mapping[str, Any]) -> None:
    losses = metrics["losses"]
    axis.plot(_steps(metrics), losses, color=COLOURS[0], lw=0.6, alpha=0.4, label="step")
    axis.plot(_steps(metrics), running_mean(losses), color=COLOURS[0], lw=1.6, label="running mean")
    if metrics["eval_steps"]:
        evaluated = metrics["eval_steps"], metrics["eval_losses"]
        axis.plot(*evaluated, "o-", color=COLOURS[1], ms=4, label="held out")
    if metrics.get("best_step") is not None:
        axis.axvline(metrics["best_step"], color=COLOURS[2], ls="--", lw=1, label="kept")
    axis.set_ylabel("loss (nats per token)")
    axis.legend(frameon=False, fontsize="small")


def running_mean(losses: Sequence[float]) -> list[float]:
    """Mean of each step and of those just before it."""
    width = max(1, round(_WINDOW_SHARE * len(losses)))
    return [float(np.mean(losses[max(0, end - width) : end])) for end in range(1, len(losses) + 1)]

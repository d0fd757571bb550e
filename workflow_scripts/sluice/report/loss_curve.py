"""The picture of one fine-tuning: loss and learning rate over its steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from sluice.errors import DataError
from sluice.figures import COLOURS

_KEYS = ("losses", "learning_rates", "eval_steps", "eval_losses", "best_step")
# The smooth line is a mean over this share of all steps.
_WINDOW_SHARE = 0.05


def plot_loss_curve(metrics: Mapping[str, Any], *, name: str) -> Figure:
    """Loss of each step and its running mean, held-out loss, the kept step, learning rate.

    Args:
        metrics: the content of an adapter's metrics.json.
        name: the adapter's.
    Raises:
        DataError: they are not metrics of a fine-tuning.
    """
    missing = [key for key in _KEYS if key not in metrics]
    if missing or not metrics["losses"]:
        raise DataError(
            f"these are no metrics of a fine-tuning: {', '.join(missing) or 'no step'} missing",
            expected="metrics.json of fine_tune.py",
        )
    figure, (above, below) = plt.subplots(
        2, 1, sharex=True, height_ratios=(3, 1), figsize=(7, 4.5), layout="constrained"
    )
    losses = metrics["losses"]
    steps = range(1, len(losses) + 1)
    above.plot(steps, losses, color=COLOURS[0], lw=0.6, alpha=0.4, label="step")
    above.plot(steps, running_mean(losses), color=COLOURS[0], lw=1.6, label="running mean")
    if metrics["eval_steps"]:
        evaluated = metrics["eval_steps"], metrics["eval_losses"]
        above.plot(*evaluated, "o-", color=COLOURS[1], ms=4, label="held out")
        above.axvline(metrics["best_step"], color=COLOURS[2], ls="--", lw=1, label="kept")
    above.set_ylabel("loss (nats per token)")
    above.legend(frameon=False, fontsize="small")
    below.plot(steps, metrics["learning_rates"], color=COLOURS[3], lw=1.2)
    below.set_ylabel("learning rate")
    below.set_xlabel("optimiser step")
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Fine-tuning of {name}")
    return figure


def running_mean(losses: Sequence[float]) -> list[float]:
    """Mean of each step and of those just before it."""
    width = max(1, round(_WINDOW_SHARE * len(losses)))
    return [float(np.mean(losses[max(0, end - width) : end])) for end in range(1, len(losses) + 1)]

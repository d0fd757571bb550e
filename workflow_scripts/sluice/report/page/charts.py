"""The charts of the page; each function returns an ``<svg>``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.ticker import FuncFormatter

from sluice.figures import COLOURS
from sluice.intervals import Estimate
from sluice.report.loss_curve import running_mean
from sluice.report.page.drawing import inline_svg, new_figure

# A longer series is drawn by its running mean at this many places: nobody sees more.
_SHOWN_POINTS = 400
_DASHES = ("-", "--", ":")
_NUM_BINS = 40
# The tails, in which a few samples would squeeze all others into one bar, are cut.
_SHOWN_PERCENTILES = (0.5, 99.5)


def loss_chart(curves: Mapping[str, Any], *, key: str, name: str) -> Markup:
    """Loss by step: every step thin, the running mean thick, held-out loss as points.

    Args:
        curves: ``losses`` and, where there was an evaluation, ``eval_steps``, ``eval_losses``.
        key: makes ids unique.
        name: of the training.
    """
    losses = curves["losses"]
    places = _spread(len(losses))
    smooth = running_mean(losses)
    with new_figure(height=2.5) as (figure, axis):
        steps = [place + 1 for place in places]
        axis.plot(steps, [losses[place] for place in places], color=COLOURS[0], lw=0.7, alpha=0.35)
        axis.plot(
            steps, [smooth[place] for place in places], color=COLOURS[0], lw=1.8, label="training"
        )
        if curves.get("eval_steps"):
            axis.plot(
                *(curves["eval_steps"], curves["eval_losses"]),
                *("o-",),
                color=COLOURS[5],
                ms=3.5,
                lw=1,
                label="held out",
            )
            axis.legend()
        axis.set_xlabel("optimiser step")
        axis.set_ylabel("loss (nats)")
    return inline_svg(figure, name=f"loss-{key}", label=f"Loss of {name} by step")


def distribution_chart(values: Mapping[str, "pd.Series[float]"], *, key: str, name: str) -> Markup:
    """How one score is spread, one line per dataset.

    Args:
        values: the samples' scores by dataset.
        key: makes ids unique.
        name: of the score, with its unit.
    """
    low, high = np.percentile(pd.concat(list(values.values())), _SHOWN_PERCENTILES)
    if low == high:
        low, high = low - 0.5, high + 0.5
    bins = np.linspace(low, high, _NUM_BINS + 1)
    with new_figure(height=2.3) as (figure, axis):
        for place, (dataset, scores) in enumerate(values.items()):
            axis.hist(
                scores.clip(low, high),
                list(bins),
                density=True,
                histtype="step",
                lw=1.5,
                color=COLOURS[place % 6],
                ls=_DASHES[place // 6 % 3],
                label=dataset,
            )
        axis.set_xlabel(name)
        axis.set_yticks([])
        axis.set_ylabel("density")
        axis.legend()
    return inline_svg(figure, name=f"spread-{key}", label=f"Distribution of {name}")


def turn_chart(series: Mapping[str, Sequence[Estimate]], *, key: str, name: str) -> Markup:
    """A figure's estimate at each turn with its interval, one line per name.

    Args:
        series: for each name its estimates from turn 0 on.
        key: makes ids unique.
        name: of what is estimated, for the axis.
    """
    with new_figure(height=2.6) as (figure, axis):
        for place, (label, found) in enumerate(series.items()):
            # Beside each other, so that intervals do not hide one another.
            turns = np.arange(len(found)) + 0.06 * (place - (len(series) - 1) / 2)
            values = np.array([each.value for each in found])
            reach = [
                values - [each.low for each in found],
                np.array([each.high for each in found]) - values,
            ]
            axis.errorbar(
                turns, values, np.clip(reach, 0, None), color=COLOURS[place % 6], marker="o", ms=4,
                lw=1.5, capsize=3, label=label,
            )  # fmt: skip
        axis.set_xticks(range(max(len(found) for found in series.values())))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda turn, _: f"turn {turn:.0f}"))
        axis.set_ylabel(name)
        axis.margins(x=0.12, y=0.15)
        if len(series) > 1:
            axis.legend(ncols=2)
    return inline_svg(figure, name=f"turns-{key}", label=f"{name} by turn")


def _spread(count: int) -> list[int]:
    """Places in a series, all of them where it is short."""
    return sorted({int(place) for place in np.linspace(0, count - 1, min(count, _SHOWN_POINTS))})

"""The calibration of judges as one picture: every measure a row, every judge a colour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from sluice.figures import COLOURS


@dataclass(frozen=True)
class _Row:
    """How a measure is shown."""

    label: str
    best: float | None
    """What an ideal judge has; None where there is no ideal."""


# In the order of the picture. Ranges differ, so that each panel has its own axis.
_PANELS: tuple[tuple[str, tuple[float, float], dict[str, _Row]], ...] = (
    (
        "shares, 0 to 1",
        (0, 1),
        {
            "repeat_agreement": _Row("repeats agree on keep or drop", 1),
            "flip_rate": _Row("winner flips with the order", 0),
            "first_share": _Row("the first answer wins", 0.5),
            "later_share": _Row("the later turn wins, both orders", None),
            "reference_auroc": _Row("AUROC against references", 1),
        },
    ),
    (
        "correlations and kappa, -1 to 1",
        (-1, 1),
        {
            "reference_kappa": _Row("kappa against references", 1),
            "judge_agreement": _Row("kappa of judge and evaluator", 1),
            "length_correlation": _Row("score and length", None),
            "length_correlation_of_right": _Row("the same, right answers only", 0),
        },
    ),
)
_ROLE_COLOURS = {"judge": COLOURS[1], "evaluator": COLOURS[0], "both": COLOURS[2]}


def plot_judge_calibration(table: pd.DataFrame, *, models: Mapping[str, str]) -> Figure:
    """Dots with 95 % intervals; a grey bar marks what an ideal judge would have.

    Args:
        table: of judge_calibration.csv.
        models: role -> the model behind it, for the legend.
    """
    heights = [len(rows) for _, _, rows in _PANELS]
    figure, axes = plt.subplots(
        len(_PANELS),
        figsize=(8.4, 0.5 * sum(heights) + 2.4),
        layout="constrained",
        height_ratios=heights,
    )
    for axis, (title, limits, rows) in zip(axes, _PANELS, strict=True):
        _panel(axis, table, rows)
        axis.set_xlim(limits[0] - 0.03, limits[1] + 0.03)
        axis.set_xlabel(title)
    handles = [
        axes[0].plot([], [], "o", color=colour, label=_legend(role, models))[0]
        for role, colour in _ROLE_COLOURS.items()
        if (table["judge"] == role).any()
    ]
    handles.append(axes[0].plot([], [], "|", color="#888888", ms=14, mew=3, label="ideal")[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle("How far the judges can be trusted (95 % intervals, n = items)", fontsize=11)
    return figure


def _legend(role: str, models: Mapping[str, str]) -> str:
    return f"{role}: {models[role]}" if role in models else "both compared"


def _panel(axis: Any, table: pd.DataFrame, rows: Mapping[str, _Row]) -> None:
    for place, (name, row) in enumerate(rows.items()):
        found = table[table["measure"] == name].reset_index(drop=True)
        if row.best is not None:
            axis.plot([row.best], [place], "|", color="#888888", ms=22, mew=3, zorder=0)
        offsets = _offsets(len(found))
        for offset, each in zip(offsets, found.itertuples(), strict=True):
            _dot(axis, each, place + offset)
    axis.set_yticks(range(len(rows)), [row.label for row in rows.values()])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="x", color="#dddddd", lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _offsets(count: int) -> Sequence[float]:
    return [0.0] if count == 1 else [-0.16, 0.16][:count]


def _dot(axis: Any, row: Any, place: float) -> None:
    colour = _ROLE_COLOURS[row.judge]
    if pd.isna(row.value):
        axis.text(
            0.0, place, f"  {row.judge}: {row.status}", color=colour, fontsize=8,
            va="center",
        )  # fmt: skip
        return
    reach = [[max(0.0, row.value - row.low)], [max(0.0, row.high - row.value)]]
    axis.errorbar(row.value, place, xerr=reach, fmt="o", color=colour, capsize=3, lw=1.2)
    axis.annotate(
        f"n = {row.n}", (1.0, place), xycoords=("axes fraction", "data"), xytext=(4, 0),
        textcoords="offset points", fontsize=8, color=colour, va="center", annotation_clip=False,
    )  # fmt: skip

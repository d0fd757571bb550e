"""Pictures of accuracies: bars with intervals and counts, and differences as dots."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sluice.evaluation.grades import OVERALL
from sluice.figures import COLOURS, use_fonts

FIRST_COLOUR, SECOND_COLOUR = "#999999", COLOURS[0]
_FINDING_COLOURS = {"gain": "#009E73", "loss": "#D55E00", "no difference shown": "#555555"}


def plot_subtype_accuracy(table: pd.DataFrame, *, title: str) -> Figure:
    """One bar a group, best first, with its interval, right answers and their number.

    Args:
        table: of `accuracy_table`.
        title: whose accuracy, on what.
    """
    groups = table[table["group"] != OVERALL].sort_values(
        ["accuracy", "group"], ascending=[False, True]
    )
    overall = table[table["group"] == OVERALL]
    rows = pd.concat([groups, overall]).reset_index(drop=True)
    figure, axis = _canvas(len(rows), height=0.42)
    colours = [COLOURS[0]] * len(groups) + ["#555555"] * len(overall)
    _bars(axis, rows, np.arange(len(rows)), value="accuracy", low="low", high="high", color=colours)
    for place, row in rows.iterrows():
        axis.text(101, place, f"{row['correct']:,} / {row['answers']:,}", va="center", fontsize=9)
    _finish(axis, list(rows["group"]), xlabel="accuracy (%), with 95 % interval")
    axis.axvline(100 * overall["accuracy"].item(), color="#555555", lw=0.8, ls=":", zorder=0)
    axis.set_xlim(0, 100)
    axis.set_title(title + "\n(right / all answers on the right)", fontsize=11)
    return figure


def plot_overall_comparison(table: pd.DataFrame, *, first: str, second: str) -> Figure:
    """Two bars a suite: the accuracy of both on all of its items."""
    rows = table[table["group"] == OVERALL].reset_index(drop=True)
    return _paired_bars(
        rows, list(rows["suite"]), first=first, second=second, title="Accuracy by suite"
    )


def plot_type_comparison(table: pd.DataFrame, *, first: str, second: str) -> Figure:
    """Two bars a group: the accuracy of both; suites without groups show as a whole."""
    has_groups = set(table.loc[table["group"] != OVERALL, "suite"])
    is_shown = (table["group"] != OVERALL) | ~table["suite"].isin(has_groups)
    rows = table[is_shown].reset_index(drop=True)
    return _paired_bars(
        rows, _labels(rows, table), first=first, second=second, title="Accuracy by group"
    )


def plot_model_comparison(table: pd.DataFrame, *, first: str, second: str) -> Figure:
    """The difference of each suite and group as a dot with its interval, and what is shown."""
    rows = table.reset_index(drop=True)
    figure, axis = _canvas(len(rows), height=0.36)
    places = np.arange(len(rows))
    values = 100 * rows["difference"]
    for finding, colour in _FINDING_COLOURS.items():
        is_so = (rows["finding"] == finding).to_numpy()
        if not is_so.any():
            continue
        reach = [
            (values - 100 * rows["difference_low"])[is_so].clip(lower=0),
            (100 * rows["difference_high"] - values)[is_so].clip(lower=0),
        ]
        axis.errorbar(
            values[is_so], places[is_so], xerr=reach, fmt="o", color=colour, capsize=3,
            label=f"{finding} ({is_so.sum()})",
        )  # fmt: skip
    axis.axvline(0, color="black", lw=0.8)
    _finish(axis, _labels(rows, table), xlabel=f"{second} minus {first} (percentage points, 95 %)")
    for tick, group in zip(axis.get_yticklabels(), rows["group"], strict=True):
        tick.set_fontweight("bold" if group == OVERALL else "normal")
    axis.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axis.set_title(f"Difference in accuracy: {second} against {first}", fontsize=11)
    return figure


def _paired_bars(
    rows: pd.DataFrame, labels: Sequence[str], *, first: str, second: str, title: str
) -> Figure:
    figure, axis = _canvas(len(rows), height=0.62)
    places = np.arange(len(rows))
    sides = ((first, "accuracy_a", FIRST_COLOUR), (second, "accuracy_b", SECOND_COLOUR))
    for offset, (name, column, colour) in zip((-0.2, 0.2), sides, strict=True):
        _bars(
            axis, rows, places + offset, value=column, low=f"{column}_low", high=f"{column}_high",
            color=colour, height=0.38, label=name,
        )  # fmt: skip
    for place, count in enumerate(rows["n"]):
        axis.text(101, place, f"n = {count:,}", va="center", fontsize=9)
    _finish(axis, labels, xlabel="accuracy (%), with 95 % interval")
    axis.set_xlim(0, 100)
    axis.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.12, 1.0))
    axis.set_title(title, fontsize=11)
    return figure


def _canvas(num_rows: int, *, height: float) -> tuple[Figure, Any]:
    return plt.subplots(figsize=(8.4, height * num_rows + 1.5), layout="constrained")


def _bars(
    axis: Any, rows: pd.DataFrame, places: Any, *, value: str, low: str, high: str, **style: Any
) -> None:
    # Rounding may put an end a hair's breadth inside the value, which matplotlib refuses.
    reach = [
        (100 * (rows[value] - rows[low])).clip(lower=0),
        (100 * (rows[high] - rows[value])).clip(lower=0),
    ]
    axis.barh(places, 100 * rows[value], xerr=reach, error_kw={"lw": 1.2, "capsize": 3}, **style)


def _finish(axis: Any, labels: Sequence[str], *, xlabel: str) -> None:
    use_fonts(labels)
    axis.set_yticks(range(len(labels)), [str(label).replace("$", r"\$") for label in labels])
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.set_xlabel(xlabel)
    axis.spines[["top", "right"]].set_visible(False)


def _labels(rows: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Group names, with the suite before them where there are several suites."""
    has_one_suite = table["suite"].nunique() == 1
    return [
        suite if group == OVERALL else group if has_one_suite else f"{suite}: {group}"
        for suite, group in zip(rows["suite"], rows["group"], strict=True)
    ]

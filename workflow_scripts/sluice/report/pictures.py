"""Pictures of scores. Each function takes a table and returns a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure

from sluice.auroc import auroc
from sluice.errors import DataError
from sluice.figures import COLOURS
from sluice.report.score_evaluation import badness, score_names
from sluice.tables import read_parquet

CLEAN_COLOUR, FLAWED_COLOUR = "#009E73", "#D55E00"

SHOWN_SCORES = ("quality", "response_nll", "excess_surprise_worst_tenth", "ifd")
SCORE_LABELS = {
    "quality": "gate quality",
    "response_nll": "response NLL (nats per token)",
    "excess_surprise_worst_tenth": "excess surprise, worst tenth of tokens (nats)",
    "ifd": "IFD (perplexity with / without prompt)",
}
# The tails, in which a few samples would squeeze all others into one bar, are cut from pictures.
_SHOWN_PERCENTILES = (0.5, 99.5)


def read_scores(paths: Sequence[Path]) -> pd.DataFrame:
    """The scored samples of one or more files.

    Raises:
        DataError: a file cannot be read, or no sample is scored.
    """
    table: pd.DataFrame = pa.concat_tables([read_parquet(path) for path in paths]).to_pandas()
    table = table[table["status"] == "ok"]
    if table.empty:
        raise DataError("no sample has a score", where=", ".join(str(path) for path in paths))
    return table


def plot_score_distributions(table: pd.DataFrame) -> Figure:
    """One panel per score, one line per dataset: density of the samples' scores."""
    shown = [score for score in SHOWN_SCORES if score in score_names(table)]
    figure, axes = _panels(len(shown))
    names = sorted(table["dataset"].unique())
    for axis, score in zip(axes, shown, strict=True):
        low, high = _shown_range(table[score])
        bins = np.linspace(low, high, 41)
        for index, name in enumerate(names):
            values = table.loc[table["dataset"] == name, score].clip(low, high)
            colour = COLOURS[index % len(COLOURS)]
            style = ("-", "--", ":")[index // len(COLOURS) % 3]
            axis.hist(
                values, bins, density=True, histtype="step", color=colour, ls=style, lw=1.6,
                label=f"{name} ({len(values):,})",
            )  # fmt: skip
        axis.set_xlabel(SCORE_LABELS[score])
        axis.set_ylabel("density")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize="small", title="dataset (samples)")
    figure.suptitle("Scores of the training samples, by dataset")
    return figure


def plot_score_by_flaw(labelled: pd.DataFrame) -> Figure:
    """One panel per score, one box per flaw kind beside the clean samples, with its AUROC."""
    shown = [score for score in SHOWN_SCORES if score in score_names(labelled)]
    kinds = sorted(labelled.loc[labelled["is_flawed"], "flaw"].unique())
    figure, axes = _panels(len(shown), height=0.32 * len(kinds) + 2.0)
    is_clean = ~labelled["is_flawed"].to_numpy()
    for axis, score in zip(axes, shown, strict=True):
        bad = badness(labelled, score)
        members = {"clean": is_clean}
        members |= {kind: (labelled["flaw"] == kind).to_numpy() for kind in kinds}
        labels = [_flaw_label(name, bad, member, is_clean) for name, member in members.items()]
        values = labelled[score].to_numpy(dtype=np.float64)
        boxes = axis.boxplot(
            [values[member] for member in members.values()],
            orientation="horizontal",
            tick_labels=labels,
            showfliers=False,
            whis=(5, 95),
            patch_artist=True,
            medianprops={"color": "black"},
        )
        for index, box in enumerate(boxes["boxes"]):
            box.set_facecolor(CLEAN_COLOUR if index == 0 else FLAWED_COLOUR)
            box.set_alpha(0.7)
        axis.invert_yaxis()
        axis.set_xlabel(SCORE_LABELS[score])
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Score by flaw kind, with AUROC against clean samples (whiskers: 5 to 95 %)")
    return figure


def plot_layer_heatmap(table: pd.DataFrame, *, group: str) -> Figure:
    """Mean gate score of each layer and group, in standard deviations from the layer's mean.

    Args:
        table: scores, with the column ``group``.
        group: ``dataset``, or ``flaw`` where the truth is known.
    """
    layers = sorted(name for name in table.columns if name.startswith("gate_layer_"))
    values = table[layers]
    deviations = values.std().replace(0, 1)
    means = ((values - values.mean()) / deviations).groupby(table[group]).mean()
    figure, axis = plt.subplots(
        figsize=(max(5.0, 0.35 * len(layers) + 3.0), 0.4 * len(means) + 1.8), layout="constrained"
    )
    if "clean" in means.index:
        means = means.loc[["clean", *means.index.drop("clean")]]
    reach = max(0.1, float(np.abs(means.to_numpy()).max()))
    image = axis.imshow(means, cmap="RdBu", vmin=-reach, vmax=reach, aspect="auto")
    axis.set_yticks(range(len(means)), [str(name).replace("_", " ") for name in means.index])
    numbers = [int(name.removeprefix("gate_layer_")) for name in layers]
    axis.set_xticks(range(len(layers)), [str(number) for number in numbers])
    if len(layers) <= 8:
        for (row, column), value in np.ndenumerate(means.to_numpy()):
            axis.text(
                column, row, f"{value:+.2f}", ha="center", va="center",
                color="white" if abs(value) > 0.7 * reach else "black",
            )  # fmt: skip
    axis.set_xlabel("layer")
    figure.colorbar(image, label="mean gate score\n(standard deviations)")
    axis.set_title(f"Gate score by layer and {group}")
    return figure


def _panels(count: int, *, height: float = 3.4) -> tuple[Figure, list[Any]]:
    num_columns = min(2, count)
    num_rows = -(-count // num_columns)
    figure, axes = plt.subplots(
        num_rows,
        num_columns,
        figsize=(5.6 * num_columns, height * num_rows),
        layout="constrained",
        squeeze=False,
    )
    flat = list(axes.flat)
    for spare in flat[count:]:
        spare.axis("off")
    return figure, flat[:count]


def _shown_range(values: pd.Series) -> tuple[float, float]:
    low, high = np.percentile(values, _SHOWN_PERCENTILES)
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _flaw_label(name: str, bad: Any, member: Any, is_clean: Any) -> str:
    if name == "clean":
        return f"clean ({member.sum():,})"
    return f"{name.replace('_', ' ')}  {auroc(bad[member], bad[is_clean]).value:.2f}"

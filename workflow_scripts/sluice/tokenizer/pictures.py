"""The picture of a tokenizer's evaluation: bytes per token by domain, one bar a tokenizer."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sluice.figures import COLOURS, use_fonts

_GROUP_HEIGHT = 0.8


def plot_bytes_per_token(table: pd.DataFrame) -> Figure:
    """Horizontal bars, domains from top to bottom in the order of the table.

    Args:
        table: of `evaluate_tokenizers`.
    """
    domains = list(dict.fromkeys(table["domain"]))
    names = list(dict.fromkeys(table["tokenizer"]))
    values = table.set_index(["tokenizer", "domain"])["bytes_per_token"]
    height = max(2.5, 0.22 * len(names) * len(domains) + 0.12 * len(domains) + 1.2)
    figure, axis = plt.subplots(figsize=(8.4, height), layout="constrained")
    thickness = _GROUP_HEIGHT / len(names)
    for index, name in enumerate(names):
        places = np.arange(len(domains)) + (index - (len(names) - 1) / 2) * thickness
        bars = axis.barh(
            places,
            values[name].reindex(domains),
            height=0.92 * thickness,
            color=COLOURS[index % len(COLOURS)],
            label=_label(table, name),
        )
        axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    use_fonts([*names, *domains])
    axis.set_yticks(range(len(domains)), [domain.replace("$", r"\$") for domain in domains])
    axis.set_ylim(len(domains) - 0.5, -0.5)
    axis.set_xlabel("bytes of text per token (more is better)")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize="small", loc="outside lower center")
    axis.set_title("Compression by domain", fontsize=11)
    return figure


def _label(table: pd.DataFrame, name: str) -> str:
    size = table.loc[table["tokenizer"] == name, "vocab_size"].iloc[0]
    return f"{name} ({size:,} tokens)".replace("$", r"\$")

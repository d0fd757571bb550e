"""Figures as inline SVG that takes its colours from the page, so that both schemes fit."""

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sluice.errors import DataError
from sluice.figures import COLOURS

# matplotlib knows no CSS: it draws with these, and the SVG's text is changed afterwards. No series
# has one of the first two colours.
_INK, _LINE = "#101112", "#8a8b8c"
_VARIABLES = {
    _INK: "var(--ink)",
    _LINE: "var(--axis)",
    **{colour.lower(): f"var(--s{place})" for place, colour in enumerate(COLOURS, start=1)},
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.0,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
# About a phone's width at a size of 1: text keeps its size there.
WIDTH_INCHES = 4.4


@contextmanager
def new_figure(*, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A themed figure and its axes; drawing happens inside the block.

    Args:
        height: of the figure, inches.
    """
    with mpl.rc_context(_STYLE):
        yield plt.subplots(figsize=(WIDTH_INCHES, height), layout="constrained")


def inline_svg(figure: Figure, *, name: str, label: str) -> Markup:
    """A figure as an ``<svg>`` element; the same figure gives the same text.

    Args:
        figure: closed afterwards.
        name: letters, digits and dashes; makes the element's ids unique on the page.
        label: what a screen reader says.
    """
    stream = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(
            stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    plt.close(figure)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    # A style of matplotlib's would hold for the whole page.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = re.sub(re.escape(colour), variable, text, flags=re.IGNORECASE)
    opening = Markup('<svg role="img" aria-label="{}" ').format(label)
    return opening + Markup(text.removeprefix("<svg "))


def inline_png(path: Path) -> str:
    """A picture as a ``data:`` address.

    Raises:
        DataError: the file is missing.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    return "data:image/png;base64," + base64.b64encode(content).decode()

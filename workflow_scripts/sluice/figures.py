"""What all pictures share: colours, fonts, and a PNG whose bytes depend on the figure alone."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.figure import Figure

from sluice.files import atomic_path

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")

# matplotlib's own font has no Chinese; the first of these that is installed lends its characters.
_CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
)


def use_fonts() -> None:
    """Lets labels hold Chinese, where a font for it is installed."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    found = [name for name in _CHINESE_FONTS if name in installed]
    plt.rcParams["font.family"] = ["DejaVu Sans", *found[:1]]


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG; the same figure gives the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
    plt.close(figure)

"""What all pictures share: colours, fonts, and a PNG whose bytes depend on the figure alone."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.figure import Figure

from sluice.files import atomic_path
from sluice.logs import get_logger

logger = get_logger(__name__)

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")

_FIRST_CHINESE = "\u2e80"

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


def use_fonts(texts: Iterable[str]) -> None:
    """Lets a picture hold these texts, Chinese ones too where a font for them is installed."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    found = [name for name in _CHINESE_FONTS if name in installed][:1]
    plt.rcParams["font.family"] = ["DejaVu Sans", *found]
    if not found and any(char >= _FIRST_CHINESE for text in texts for char in text):
        logger.warning(
            "no font for Chinese is installed: the picture shows boxes; fonts-noto-cjk has one"
        )
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG; the same figure gives the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
    plt.close(figure)

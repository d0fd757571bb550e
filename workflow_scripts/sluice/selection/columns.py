"""The columns of a table of scores: which are layers', and what they say together.

Apart from scores.py, so that selecting does not import torch.

Shape letters: N samples, L layers.
"""

import numpy as np
import pyarrow as pa

from sluice.logs import get_logger
from sluice.selection.segments import Flags, Floats

logger = get_logger(__name__)

# Gates that were never warmed up say 0.5 of every token; weighted sums of it differ by 1e-16, and
# float32 gates are no better than 1e-7.
ROUNDING = 1e-6


def layer_columns(table: pa.Table) -> list[str]:
    """The names of the per-layer gate columns, first layer first."""
    return [name for name in table.column_names if name.startswith("gate_layer_")]


def quality_of(layers_NL: Floats, *, is_ok: Flags) -> Floats:
    """Mean over layers of the gates' scores, each layer brought to one scale.

    A layer's scores s become (s - min) / ((max - min) * mean), over all scored samples. Layers that
    say the same of every sample, up to rounding, are left out; where all do, quality is undefined
    (NaN).

    Args:
        layers_NL: per-layer scores; rows that are not ok do not matter.
        is_ok: bool (N), which rows count.
    Returns:
        float64 (N), NaN for rows that are not ok.
    """
    counted = layers_NL[is_ok].astype(np.float64)
    low, high, mean = counted.min(0), counted.max(0), counted.mean(0)
    is_telling = high - low > ROUNDING * np.abs(mean)
    if not is_telling.all():
        logger.warning("%d of %d layers are constant", (~is_telling).sum(), len(is_telling))
    quality = np.full(len(layers_NL), np.nan)
    if is_telling.any():
        scaled = (counted - low)[:, is_telling] / ((high - low) * mean)[is_telling]
        quality[is_ok] = scaled.mean(1)
    return quality

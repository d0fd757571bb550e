"""Sums, maxima and worst shares within segments of one long array, without a Python loop.

Shape letters: E entries, N segments (samples). Segment i is ``starts[i]:starts[i] + lengths[i]``;
segments follow one another without gaps, and none is empty.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def starts_of(lengths: Ints) -> Ints:
    """Where each segment begins."""
    return np.cumsum(lengths) - lengths


def segment_sum(values: NDArray[Any], lengths: Ints) -> NDArray[Any]:
    """Sums per segment; values of shape (E,) or (E, columns)."""
    summed: NDArray[Any] = np.add.reduceat(values, starts_of(lengths), axis=0)
    return summed


def segment_mean(values: Floats, lengths: Ints) -> Floats:
    """Means per segment."""
    means: Floats = segment_sum(values, lengths) / lengths
    return means


def segment_max(values: Floats, lengths: Ints) -> Floats:
    """Maxima per segment."""
    largest: Floats = np.maximum.reduceat(values, starts_of(lengths))
    return largest


def segment_worst_mean(values: Floats, lengths: Ints, *, share: float) -> Floats:
    """Mean of the largest ``ceil(share * length)`` values of each segment."""
    segment = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((-values, segment))
    place = np.arange(len(values)) - np.repeat(starts_of(lengths), lengths)
    # Rounding first: 0.07 * 100 is 7.000000000000001 in floating point.
    counts = np.ceil(np.round(share * lengths, 9)).astype(np.int64)
    kept = np.where(place < np.repeat(counts, lengths), values[order], 0.0)
    means: Floats = segment_sum(kept, lengths) / counts
    return means


def segment_softmax(values: Floats, lengths: Ints) -> Floats:
    """exp(values) divided by their sum per segment; safe for large values."""
    shifted = np.exp(values - np.repeat(segment_max(values, lengths), lengths))
    softmax: Floats = shifted / np.repeat(segment_sum(shifted, lengths), lengths)
    return softmax

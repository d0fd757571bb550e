"""How what is kept differs from all there was: keeping high scores shifts the distribution."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp

SIGNIFICANCE = 0.05
"""A shift is claimed only where a test of kept against dropped is below this."""


@dataclass(frozen=True)
class Shift:
    """One feature of the kept part, compared with the whole."""

    feature: str
    distance: float
    """Total variation distance of shares, or Kolmogorov-Smirnov distance of numbers; 0 to 1."""
    p_value: float | None
    """Of kept against dropped: chi-square, or two-sample Kolmogorov-Smirnov; None where nothing
    can be tested (all kept, or one value only)."""
    is_shifted: bool
    whole: dict[str, float]
    """Share of each value in the whole; of numbers the quartiles."""
    kept: dict[str, float]


def category_shift(
    feature: str, values: Sequence[str], is_kept: Sequence[bool], *, max_shift: float
) -> Shift:
    """Compares the shares of a feature's values, such as languages.

    Args:
        feature: its name.
        values: of each exchange.
        is_kept: which exchanges are kept; at least one.
        max_shift: distance above which a significant difference is a shift.
    """
    kept = Counter(value for value, flag in zip(values, is_kept, strict=True) if flag)
    whole = Counter(values)
    dropped = whole - kept
    shares = [_shares(counts, sorted(whole)) for counts in (whole, kept)]
    distance = sum(abs(shares[0][name] - shares[1][name]) for name in whole) / 2
    p_value = None
    if len(whole) > 1 and kept and dropped:
        table = [[counts[name] for name in sorted(whole)] for counts in (kept, dropped)]
        p_value = float(chi2_contingency(table).pvalue)
    return _shift(feature, distance, p_value, *shares, max_shift=max_shift)


def number_shift(
    feature: str, values: Sequence[float], is_kept: Sequence[bool], *, max_shift: float
) -> Shift:
    """Compares the distribution of a number, such as the length of the answer in characters."""
    whole_N, is_kept_N = np.asarray(values, dtype=float), np.asarray(is_kept, dtype=bool)
    kept, dropped = whole_N[is_kept_N], whole_N[~is_kept_N]
    distance = float(ks_2samp(kept, whole_N).statistic)
    p_value = float(ks_2samp(kept, dropped).pvalue) if len(dropped) else None
    return _shift(
        feature, distance, p_value, _quartiles(whole_N), _quartiles(kept), max_shift=max_shift
    )


def _shift(
    feature: str,
    distance: float,
    p_value: float | None,
    whole: dict[str, float],
    kept: dict[str, float],
    *,
    max_shift: float,
) -> Shift:
    is_shifted = distance > max_shift and p_value is not None and p_value < SIGNIFICANCE
    return Shift(feature, distance, p_value, is_shifted, whole, kept)


def _shares(counts: Mapping[str, int], names: Sequence[str]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: counts.get(name, 0) / total for name in names}


def _quartiles(values: Any) -> dict[str, float]:
    lower, middle, upper = np.quantile(values, [0.25, 0.5, 0.75])
    return {"lower_quartile": float(lower), "median": float(middle), "upper_quartile": float(upper)}


def describe(shift: Shift) -> str:
    """One line for the log: the feature, how far it moved, and where most."""
    moved = sorted(shift.whole, key=lambda name: -abs(shift.kept[name] - shift.whole[name]))[:2]
    parts = [f"{name} {shift.whole[name]:.3g} -> {shift.kept[name]:.3g}" for name in moved]
    return (
        f"{shift.feature} differs by {shift.distance:.2f} (p = {shift.p_value:.2g}): "
        f"{', '.join(parts)}"
    )


def shift_json(shifts: Sequence[Shift], *, max_shift: float) -> dict[str, Any]:
    """``sft_train.shift.json``."""
    return {
        "max_shift": max_shift,
        "significance": SIGNIFICANCE,
        "features": [asdict(shift) for shift in shifts],
    }

"""Numbers with their intervals: shares, bootstrapped means, differences.

Shape letters: N items, U distinct values, D bootstrap draws.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NUM_DRAWS = 10_000
"""Bootstrap draws: enough for the interval's ends to be steady to about 1 % of its width."""

_COUNTS_AT_ONCE = 4_000_000
# Values closer than this are one: shares such as 1/3 differ in their last bits by how they came.
_DECIMALS = 12


@dataclass(frozen=True)
class Estimate:
    """A number with its interval."""

    value: float
    low: float
    high: float


def share(count: int, total: int, *, confidence: float = 0.95) -> Estimate:
    """A share with its Wilson interval."""
    from scipy.stats import binomtest  # 1.6 s, which most users of this module need not wait

    found: Any = binomtest(count, total).proportion_ci(confidence, method="wilson")
    return Estimate(count / total, float(found.low), float(found.high))


def bootstrap_mean(
    values_N: Floats,
    *,
    limits: tuple[float, float],
    seed: int,
    num_draws: int = NUM_DRAWS,
    confidence: float = 0.95,
) -> Estimate:
    """A mean with the percentile interval of a bootstrap over items.

    A draw of N items with replacement is fully described by how often each distinct value came,
    which is multinomial; so D draws cost D x U numbers, not D x N.

    Where all values are equal, no draw differs and the bootstrap would claim certainty. There the
    interval allows for as many other values as N equal ones leave possible: a share of
    1 - (alpha / 2)^(1 / N), as in Clopper and Pearson (Biometrika 26, 1934), at the limits.

    Args:
        values_N: one value an item; order does not matter.
        limits: the smallest and the largest value that an item can have.
        seed: of the draws.
        num_draws: D.
        confidence: of the interval.
    """
    assert len(values_N), "the mean of nothing"
    distinct_U, counts_U = np.unique(np.round(values_N, _DECIMALS), return_counts=True)
    num_items = len(values_N)
    mean = float(distinct_U @ counts_U / num_items)
    alpha = 1 - confidence
    if len(distinct_U) == 1:
        other = 1 - (alpha / 2) ** (1 / num_items)
        low, high = limits
        return Estimate(mean, mean - other * (mean - low), mean + other * (high - mean))
    rng = np.random.default_rng(seed)
    block = max(1, _COUNTS_AT_ONCE // len(distinct_U))
    means_D = np.concatenate(
        [
            rng.multinomial(counts_U.sum(), counts_U / num_items, size=min(block, num_draws - done))
            @ distinct_U
            / num_items
            for done in range(0, num_draws, block)
        ]
    )
    # Rounded, since the last bits of a matrix product differ from one processor to another.
    low, high = np.quantile(means_D, [alpha / 2, 1 - alpha / 2]).round(_DECIMALS)
    return Estimate(mean, float(low), float(high))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """How much the second share is above the first, both from different items.

    The interval is made from the two intervals (Newcombe, Statistics in Medicine 17, 1998, method
    10; Zou and Donner, Statistics in Medicine 27, 2008), which holds where shares are near 0 or 1.
    """
    value = second.value - first.value
    down = np.hypot(second.value - second.low, first.high - first.value)
    up = np.hypot(second.high - second.value, first.value - first.low)
    return Estimate(value, value - float(down), value + float(up))

"""Numbers with their intervals: shares, bootstrapped means, differences.

Shape letters: N items, U distinct values, D bootstrap draws.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NUM_DRAWS = 10_000
"""Bootstrap draws: enough for the interval's ends to be steady to about 1 % of its width."""

_COUNTS_AT_ONCE = 4_000_000
_ITEMS_DRAWN = 200_000_000
_LEAST_DRAWS = 1000
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


def bootstrap_ratio(
    numerators_N: Floats,
    denominators_N: Floats,
    *,
    seed: int,
    num_draws: int | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """The ratio of two sums with the percentile interval of a bootstrap over items.

    Items are drawn whole, numerator and denominator together, so that long items weigh as much in
    a draw as in the ratio itself.

    Args:
        numerators_N: one value an item; order does not matter.
        denominators_N: at least 0, not all of them 0.
        seed: of the draws.
        num_draws: D; where None, `NUM_DRAWS`, and less for more than 20,000 items, whose ratio a
            draw moves little, but never less than 1,000.
        confidence: of the interval.
    """
    num_items = len(numerators_N)
    assert num_items > 1, "one item says nothing of others"
    if num_draws is None:
        num_draws = min(NUM_DRAWS, max(_LEAST_DRAWS, _ITEMS_DRAWN // num_items))
    order = np.lexsort((denominators_N, numerators_N))
    numerators_N, denominators_N = numerators_N[order], denominators_N[order]
    rng = np.random.default_rng(seed)
    block = max(1, _COUNTS_AT_ONCE // num_items)
    ratios: list[Floats] = []
    for done in range(0, num_draws, block):
        drawn_DN = rng.integers(num_items, size=(min(block, num_draws - done), num_items))
        below_D = denominators_N[drawn_DN].sum(axis=1)
        above_D = numerators_N[drawn_DN].sum(axis=1)
        ratios.append(above_D[below_D > 0] / below_D[below_D > 0])
    alpha = 1 - confidence
    low, high = np.quantile(np.concatenate(ratios), [alpha / 2, 1 - alpha / 2]).round(_DECIMALS)
    value = math.fsum(numerators_N) / math.fsum(denominators_N)
    return Estimate(value, float(low), float(high))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """How much the second share is above the first, both from different items.

    The interval is made from the two intervals (Newcombe, Statistics in Medicine 17, 1998, method
    10; Zou and Donner, Statistics in Medicine 27, 2008), which holds where shares are near 0 or 1.
    """
    value = second.value - first.value
    down = np.hypot(second.value - second.low, first.high - first.value)
    up = np.hypot(second.high - second.value, first.value - first.low)
    return Estimate(value, value - float(down), value + float(up))

"""Intervals against published examples, formulas written out, and simulation."""

import math

import numpy as np
import pytest

from sluice.intervals import bootstrap_mean, bootstrap_ratio, difference, share

Z = 1.959963984540054


def _wilson(count, total):
    centre = (count + Z * Z / 2) / (total + Z * Z)
    reach = Z / (total + Z * Z) * math.sqrt(count * (total - count) / total + Z * Z / 4)
    return centre - reach, centre + reach


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_share_has_the_wilson_interval_of_newcombes_examples(count, total, low, high):
    found = share(count, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("total", [1, 2, 7, 150, 7569])
def test_share_is_the_wilson_formula(total):
    for count in {0, 1, total // 3, total - 1, total}:
        found = share(count, total)
        assert found.value == count / total
        assert (found.low, found.high) == pytest.approx(_wilson(count, total), abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((48, 80), (56, 70), 0.0524, 0.3339),
        ((3, 10), (9, 10), 0.1705, 0.8090),
        ((0, 29), (5, 56), -0.0381, 0.1926),
        ((0, 20), (10, 10), 0.6791, 1.0),
    ],
)
def test_difference_of_shares_has_newcombes_interval(first, second, low, high):
    found = difference(share(*first), share(*second))
    assert found.value == pytest.approx(second[0] / second[1] - first[0] / first[1])
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_difference_turned_around_has_the_interval_turned_around():
    first, second = share(3, 40), share(33, 50)
    one, other = difference(first, second), difference(second, first)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def _resampled(values, *, num_draws, seed):
    """The percentile bootstrap as it is taught: items drawn one by one."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(values), size=(num_draws, len(values)))
    return np.quantile(values[draws].mean(axis=1), [0.025, 0.975])


@pytest.mark.parametrize("kind", ["signs", "shares", "continuous"])
def test_bootstrap_agrees_with_drawing_items_one_by_one(kind):
    rng = np.random.default_rng(3)
    values = {
        "signs": rng.choice([-1.0, 0.0, 1.0], size=200, p=[0.1, 0.6, 0.3]),
        "shares": rng.integers(9, size=150) / 8,
        "continuous": rng.normal(size=300).clip(-1, 1),
    }[kind]
    found = bootstrap_mean(values, limits=(-1, 1), seed=1, num_draws=20_000)
    assert found.value == pytest.approx(values.mean())
    width = found.high - found.low
    assert (found.low, found.high) == pytest.approx(
        _resampled(values, num_draws=20_000, seed=2), abs=0.03 * width + 1 / len(values)
    )


def test_bootstrap_depends_on_seed_and_not_on_order():
    values = np.random.default_rng(0).normal(size=90).clip(-1, 1)
    found = bootstrap_mean(values, limits=(-1, 1), seed=5)
    assert bootstrap_mean(values[::-1], limits=(-1, 1), seed=5) == found
    assert bootstrap_mean(values, limits=(-1, 1), seed=6) != found


def test_bootstrap_in_blocks_has_as_many_draws(monkeypatch):
    values = np.random.default_rng(0).normal(size=500)
    whole = bootstrap_mean(values, limits=(-9, 9), seed=5)
    monkeypatch.setattr("sluice.intervals._COUNTS_AT_ONCE", 1300)
    assert bootstrap_mean(values, limits=(-9, 9), seed=5) == whole


def test_thirds_from_different_sums_are_one_value():
    values = np.array([1 / 3, 1 - 2 / 3, 0.1 + 0.7 / 3])
    found = bootstrap_mean(values, limits=(0, 1), seed=1)
    assert found.value == pytest.approx(1 / 3)
    assert found.high - found.low > 0.5


@pytest.mark.parametrize("num_items", [100, 300])
def test_paired_bootstrap_covers_the_true_difference(num_items):
    """600 studies whose true difference is known: about 95 % of the intervals hold it."""
    rng = np.random.default_rng(num_items)
    num_studies, hits = 600, 0
    for study in range(num_studies):
        values = rng.choice([-1.0, 0.0, 1.0], size=num_items, p=[0.1, 0.6, 0.3])
        found = bootstrap_mean(values, limits=(-1, 1), seed=study, num_draws=2000)
        hits += found.low <= 0.2 <= found.high
    # Three standard errors of a share of 0.95 in 600 are 0.027.
    assert 0.923 <= hits / num_studies <= 0.977


def test_equal_values_leave_room_for_the_others_that_were_not_seen():
    # With 300 equal items, shares of others above 1 - 0.025^(1/300) = 1.222 % are refuted.
    found = bootstrap_mean(np.zeros(300), limits=(-1, 1), seed=1)
    assert (found.value, found.low, found.high) == pytest.approx((0, -0.012221, 0.012221), abs=1e-6)
    found = bootstrap_mean(np.ones(300), limits=(0, 1), seed=1)
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 0.987779, 1.0), abs=1e-6)


def test_one_item_alone_says_little():
    found = bootstrap_mean(np.ones(1), limits=(0, 1), seed=1)
    assert (found.low, found.high) == pytest.approx((0.025, 1.0))


def test_ratio_bootstrap_agrees_with_the_linearised_standard_error():
    """Cochran's ratio estimator: residuals over the mean denominator; 1.96 of them each way."""
    rng = np.random.default_rng(4)
    below = rng.integers(20, 200, size=400).astype(float)
    above = below * 0.9 + rng.normal(0, 8, size=400)
    found = bootstrap_ratio(above, below, seed=1)
    residuals = above - found.value * below
    error = residuals.std(ddof=1) / math.sqrt(400) / below.mean()
    assert found.value == pytest.approx(above.sum() / below.sum())
    assert found.low == pytest.approx(found.value - Z * error, abs=0.1 * error)
    assert found.high == pytest.approx(found.value + Z * error, abs=0.1 * error)


def test_ratio_bootstrap_depends_on_seed_and_not_on_order():
    rng = np.random.default_rng(0)
    below, above = rng.integers(1, 9, size=90).astype(float), rng.normal(size=90)
    found = bootstrap_ratio(above, below, seed=5)
    assert bootstrap_ratio(above[::-1], below[::-1], seed=5) == found
    assert bootstrap_ratio(above, below, seed=6) != found


def test_ratio_bootstrap_draws_items_whole():
    # Every item has the ratio 3, so every draw has.
    below = np.array([1.0, 5.0, 100.0, 0.0])
    found = bootstrap_ratio(3 * below, below, seed=1)
    assert (found.value, found.low, found.high) == (3, 3, 3)


def test_ratio_bootstrap_covers_the_true_ratio():
    rng = np.random.default_rng(1)
    num_studies, hits = 400, 0
    for study in range(num_studies):
        below = rng.integers(5, 60, size=150).astype(float)
        found = bootstrap_ratio(
            below * 2 + rng.normal(0, 9, size=150), below, seed=study, num_draws=1000
        )
        hits += found.low <= 2 <= found.high
    # Three standard errors of a share of 0.95 in 400 are 0.033.
    assert 0.917 <= hits / num_studies <= 0.983

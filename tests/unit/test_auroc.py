"""AUROC and its interval against brute force, scikit-learn and the bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from sluice.auroc import auroc
from sluice.errors import DataError

small_scores = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=12)


@given(small_scores, small_scores)
def test_auroc_is_the_share_of_pairs_in_order_with_ties_counted_half(flawed, clean):
    pairs = [(f > c) + 0.5 * (f == c) for f in flawed for c in clean]
    found = auroc(np.array(flawed), np.array(clean))
    assert found.value == pytest.approx(np.mean(pairs))
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_auroc_is_scikit_learns():
    rng = np.random.default_rng(1)
    flawed, clean = rng.normal(1, 2, 300).round(1), rng.normal(0, 1, 500).round(1)
    labels = np.repeat([1, 0], [300, 500])
    expected = roc_auc_score(labels, np.concatenate([flawed, clean]))
    assert auroc(flawed, clean).value == pytest.approx(expected, abs=1e-12)


def test_interval_is_delongs_worked_out_by_hand():
    flawed, clean = np.array([3.0, 1.0]), np.array([2.0, 0.0])
    # Placements: 3 is above both clean ones, 1 above one: 1, 0.5. 2 is below one flawed, 0 below
    # both: 0.5, 1. Each has variance 0.125, divided by 2 samples: 0.0625 each, 0.125 together.
    found = auroc(flawed, clean)
    assert found.value == 0.75
    assert found.low == pytest.approx(0.75 - 1.959964 * 0.125**0.5, abs=1e-6)
    assert found.high == 1.0


def test_interval_agrees_with_the_bootstrap():
    rng = np.random.default_rng(2)
    flawed, clean = rng.normal(1, 1, 200), rng.normal(0, 1, 200)
    draws = [auroc(rng.choice(flawed, 200), rng.choice(clean, 200)).value for _ in range(1000)]
    found = auroc(flawed, clean)
    low, high = np.percentile(draws, [2.5, 97.5])
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


@pytest.mark.parametrize(("num_flawed", "num_clean"), [(1, 5), (5, 1), (0, 0)])
def test_too_few_samples_have_no_auroc(num_flawed, num_clean):
    with pytest.raises(DataError, match="too few for an AUROC"):
        auroc(np.zeros(num_flawed), np.zeros(num_clean))

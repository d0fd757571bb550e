"""Sums, maxima, worst shares and softmax within segments, against plain lists."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.selection.segments import (
    segment_max,
    segment_mean,
    segment_softmax,
    segment_sum,
    segment_worst_mean,
    starts_of,
)

numbers = st.floats(-50, 50).map(lambda value: round(value, 3))
segments = st.lists(st.lists(numbers, min_size=1, max_size=30), min_size=1, max_size=12)


def _flat(lists):
    return np.array([value for each in lists for value in each]), np.array([len(x) for x in lists])


def test_starts_follow_one_another():
    assert starts_of(np.array([2, 1, 4])).tolist() == [0, 2, 3]


def test_columns_are_summed_each_for_itself():
    values = np.array([[1, 10], [2, 20], [4, 40]])
    assert segment_sum(values, np.array([2, 1])).tolist() == [[3, 30], [4, 40]]


@settings(deadline=None)
@given(segments)
def test_sum_mean_and_max_are_those_of_each_list(lists):
    values, lengths = _flat(lists)
    sums = [math.fsum(each) for each in lists]
    assert segment_sum(values, lengths) == pytest.approx(sums, abs=1e-9)
    means = [total / len(each) for total, each in zip(sums, lists, strict=True)]
    assert segment_mean(values, lengths) == pytest.approx(means, abs=1e-9)
    assert segment_max(values, lengths).tolist() == [max(each) for each in lists]


@settings(deadline=None)
@given(segments, st.integers(1, 10))
def test_worst_mean_is_that_of_the_largest_values(lists, tenths):
    values, lengths = _flat(lists)
    expected = []
    for each in lists:
        worst = sorted(each, reverse=True)[: -(-tenths * len(each) // 10)]
        expected.append(math.fsum(worst) / len(worst))
    found = segment_worst_mean(values, lengths, share=tenths / 10)
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("length", "num_worst"), [(1, 1), (10, 1), (11, 2), (30, 3), (31, 4)])
def test_worst_tenth_is_rounded_up(length, num_worst):
    values = np.array([1.0] * num_worst + [0.0] * (length - num_worst))
    assert segment_worst_mean(values, np.array([length]), share=0.1).tolist() == [1.0]
    one_less = np.array([1.0] * (num_worst - 1) + [0.0] * (length - num_worst + 1))
    assert segment_worst_mean(one_less, np.array([length]), share=0.1)[0] < 1


def test_share_of_a_whole_number_of_values_is_not_rounded_up_by_floating_point():
    assert 0.07 * 100 > 7
    values = np.array([1.0] * 7 + [0.0] * 93)
    assert segment_worst_mean(values, np.array([100]), share=0.07).tolist() == [1.0]


@settings(deadline=None)
@given(segments, st.floats(-600, 600))
def test_softmax_sums_to_one_and_a_shift_is_nothing(lists, shift):
    values, lengths = _flat(lists)
    weights = segment_softmax(values, lengths)
    assert segment_sum(weights, lengths) == pytest.approx(np.ones(len(lists)))
    assert segment_softmax(values + shift, lengths) == pytest.approx(weights, abs=1e-9)
    expected = [math.exp(x) / math.fsum(map(math.exp, each)) for each in lists for x in each]
    assert weights == pytest.approx(expected, abs=1e-9)


def test_softmax_of_large_values_is_finite():
    weights = segment_softmax(np.array([800.0, 800.0, -800.0]), np.array([2, 1]))
    assert weights.tolist() == [0.5, 0.5, 1.0]


@settings(deadline=None)
@given(segments, st.randoms(use_true_random=False))
def test_a_segment_does_not_see_its_neighbours(lists, rng):
    order = list(range(len(lists)))
    rng.shuffle(order)
    values, lengths = _flat(lists)
    moved_values, moved_lengths = _flat([lists[place] for place in order])
    for reduce in (segment_mean, segment_max, _worst_fifth):
        apart = reduce(values, lengths)
        assert reduce(moved_values, moved_lengths) == pytest.approx(apart[order], abs=1e-9)


def _worst_fifth(values, lengths):
    return segment_worst_mean(values, lengths, share=0.2)

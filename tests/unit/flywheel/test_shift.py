"""Distances of what is kept to the whole, worked out by hand."""

import pytest
from scipy.stats import chi2_contingency

from sluice.flywheel.shift import category_shift, describe, number_shift


def test_distance_of_shares_is_half_the_sum_of_their_differences():
    values = ["a"] * 6 + ["b"] * 3 + ["c"]
    is_kept = [True] * 4 + [False] * 2 + [True] * 1 + [False] * 3
    shift = category_shift("topic", values, is_kept, max_shift=0.1)
    # whole 0.6 0.3 0.1, kept 0.8 0.2 0.0: (0.2 + 0.1 + 0.1) / 2
    assert shift.distance == pytest.approx(0.2)
    table = [[4, 1, 0], [2, 2, 1]]
    assert shift.p_value == pytest.approx(chi2_contingency(table).pvalue)
    assert not shift.is_shifted, "five of ten may fall so by chance"


def test_the_same_difference_among_many_is_no_chance():
    values = (["a"] * 6 + ["b"] * 3 + ["c"]) * 50
    is_kept = ([True] * 4 + [False] * 2 + [True] * 1 + [False] * 3) * 50
    assert category_shift("topic", values, is_kept, max_shift=0.1).is_shifted
    assert not category_shift("topic", values, is_kept, max_shift=0.3).is_shifted


def test_distance_of_numbers_is_the_largest_gap_of_their_distributions():
    shift = number_shift("length", [1, 2, 3, 4], [True, True, False, False], max_shift=0.1)
    assert shift.distance == 0.5
    assert shift.whole["median"] == 2.5
    assert shift.kept["median"] == 1.5


@pytest.mark.parametrize("values", [["a", "a", "b"], ["a", "a", "a"]])
def test_nothing_dropped_is_no_shift(values):
    shift = category_shift("topic", values, [True] * 3, max_shift=0.0)
    assert (shift.distance, shift.p_value, shift.is_shifted) == (0, None, False)


def test_the_line_names_where_it_moved_most():
    values = (["a"] * 5 + ["b"] * 5) * 20
    is_kept = ([True] * 5 + [False] * 5) * 20
    shift = category_shift("language", values, is_kept, max_shift=0.1)
    assert describe(shift).startswith("language differs by 0.50 (p = ")
    assert "a 0.5 -> 1" in describe(shift)

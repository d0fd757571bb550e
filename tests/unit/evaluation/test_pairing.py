"""Paired comparison: tests against hand-worked numbers, refusals, findings."""

import math
import random

import pytest
from graded_for_tests import make_graded

from sluice.errors import DataError
from sluice.evaluation.grades import OVERALL
from sluice.evaluation.pairing import compare_suites, holm, mcnemar, pair_items


def test_mcnemar_of_5_against_15_worked_by_hand():
    # 2 x (1 + 20 + 190 + 1140 + 4845 + 15504) / 2^20
    assert mcnemar(5, 15) == pytest.approx(43400 / 1048576)
    assert mcnemar(15, 5) == mcnemar(5, 15)


@pytest.mark.parametrize("total", [1, 2, 5, 20, 61])
def test_mcnemar_is_twice_the_binomial_tail(total):
    for smaller in range(total // 2 + 1):
        tail = sum(math.comb(total, k) for k in range(smaller + 1)) / 2**total
        assert mcnemar(smaller, total - smaller) == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_without_a_discordant_item_shows_nothing():
    assert mcnemar(0, 0) == 1.0


def test_holm_worked_by_hand():
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1, which may not be below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_is_the_closed_test_of_bonferroni():
    """Plain reference: the largest Bonferroni p of all sets of hypotheses that hold this one."""
    rng = random.Random(4)
    p_values = [rng.random() ** 3 for _ in range(7)]
    sets = [[i for i in range(7) if bits >> i & 1] for bits in range(1, 2**7)]
    closed = [
        max(min(1.0, len(each) * min(p_values[i] for i in each)) for each in sets if place in each)
        for place in range(7)
    ]
    assert holm(p_values) == pytest.approx(closed)


def _compare(first, second, **kwargs):
    return compare_suites([pair_items("s", first, second)], seed=1, **kwargs)


def test_gain_is_counted_by_item():
    first = make_graded([True] * 50 + [False] * 50)
    second = make_graded([True] * 48 + [False] * 2 + [True] * 30 + [False] * 20)
    (row,) = _compare(first, second)
    assert (row.group, row.num_items, row.first_better, row.second_better) == (OVERALL, 100, 2, 30)
    assert (row.first.value, row.second.value) == (0.5, 0.78)
    assert row.difference.value == pytest.approx(0.28)
    assert 0.15 < row.difference.low < 0.21
    assert 0.35 < row.difference.high < 0.41
    assert row.p_value == row.p_corrected == mcnemar(2, 30)
    assert row.finding == "gain"


def test_loss_is_the_gain_turned_around():
    first, second = make_graded([True] * 40 + [False] * 60), make_graded([True] * 80 + [False] * 20)
    assert _compare(first, second)[0].finding == "gain"
    assert _compare(second, first)[0].finding == "loss"


def test_equal_answers_show_no_difference_and_do_not_prove_equality():
    graded = make_graded([True] * 30 + [False] * 10)
    (row,) = _compare(graded, graded)
    assert row.finding == "no difference shown"
    assert row.difference.value == 0
    assert row.difference.low < -0.05
    assert row.difference.high > 0.05


def test_five_of_five_is_not_yet_shown():
    # 2 / 2^5 = 0.0625, however large the difference.
    (row,) = _compare(make_graded([False] * 5), make_graded([True] * 5))
    assert row.difference.value == 1
    assert row.p_value == pytest.approx(0.0625)
    assert row.finding == "no difference shown"


def _grouped(rights_by_group, suite="s"):
    graded = []
    for group, rights in rights_by_group.items():
        graded += make_graded(rights, group=group, suite=suite, start=len(graded))
    return graded


def test_groups_are_corrected_together_and_the_whole_alone():
    first = _grouped({"x": [False] * 8, "y": [True] * 8, "z": [False] * 8})
    second = _grouped({"x": [True] * 8, "y": [True] * 8, "z": [True] * 7 + [False]})
    whole, x, y, z = _compare(first, second)
    assert [row.group for row in (whole, x, y, z)] == [OVERALL, "x", "y", "z"]
    assert whole.p_corrected == whole.p_value == mcnemar(0, 15)
    assert x.p_corrected == pytest.approx(3 * 2 / 2**8)
    assert z.p_corrected == pytest.approx(2 * 2 / 2**7)
    assert y.p_corrected == 1
    assert [row.finding for row in (x, y, z)] == ["gain", "no difference shown", "gain"]


def test_suites_are_corrected_together():
    first = [make_graded([False] * 6, suite=name) for name in ("s", "t")]
    second = [make_graded([True] * 6, suite=name) for name in ("s", "t")]
    pairs = [pair_items(*each) for each in zip(("s", "t"), first, second, strict=True)]
    rows = compare_suites(pairs, seed=1)
    assert [(row.suite, row.p_corrected) for row in rows] == [("s", 4 / 2**6), ("t", 4 / 2**6)]
    assert {row.finding for row in rows} == {"no difference shown"}


def test_order_of_answers_is_nothing():
    first = _grouped({"x": [True, False] * 10, "y": [False] * 20})
    second = _grouped({"x": [True] * 15 + [False] * 5, "y": [False, True] * 10})
    rows = _compare(first, second)
    random.Random(0).shuffle(first)
    second.reverse()
    assert _compare(first, second) == rows


def test_several_answers_count_as_their_share():
    first = make_graded([[True, False, False, False]] * 20)
    second = make_graded([[True, True, False, False]] * 20)
    (row,) = _compare(first, second)
    assert (row.first.value, row.second.value, row.difference.value) == (0.25, 0.5, 0.25)
    assert (row.first_better, row.second_better) == (0, 20)
    assert row.finding == "gain"


def test_gain_on_many_items_against_a_mean_that_fell_is_not_claimed():
    first = make_graded([[True] * 4] * 8 + [[False] * 4] * 20)
    second = make_graded([[False] * 4] * 8 + [[True] + [False] * 3] * 20)
    (row,) = _compare(first, second)
    assert row.p_value < 0.05
    assert row.second_better > row.first_better
    assert row.difference.value < 0
    assert row.finding == "no difference shown"


def test_other_items_are_refused_with_the_first_ids():
    with pytest.raises(DataError) as caught:
        pair_items("s", make_graded([True] * 7), make_graded([True] * 3, start=2))
    assert caught.value.what == (
        "the two did not answer the same items: 4 only of the first (s_0, s_1, s_5 and 1 more)"
    )
    assert caught.value.where == "suite 's'"
    with pytest.raises(DataError, match=r"1 only of the first \(s_0\); 1 only of the second"):
        pair_items("s", make_graded([True] * 3), make_graded([True] * 3, start=1))


def test_same_ids_with_other_prompts_or_groups_are_refused():
    first = make_graded([True] * 3)
    with pytest.raises(DataError, match=r"3 items have another prompt or group .*\(s_0, "):
        pair_items("s", first, make_graded([True] * 3, group="x"))
    other = first[1].prompt[0].model_copy(update={"content": "Another?"})
    changed = [first[0], first[1].model_copy(update={"prompt": (other,)}), first[2]]
    with pytest.raises(DataError, match=r"1 items have another prompt or group .*\(s_1\)"):
        pair_items("s", first, changed)


@pytest.mark.parametrize(
    ("field", "what"),
    [
        ("reference_hash", "were compared with another reference"),
        ("grader_hash", "were graded with other settings"),
    ],
)
def test_answers_that_were_graded_differently_are_refused(field, what):
    first = make_graded([True] * 3)
    changed = [*first[:2], first[2].model_copy(update={field: "f" * 12})]
    with pytest.raises(DataError, match=rf"1 items {what} on the other side \(s_2\)") as caught:
        pair_items("s", first, changed)
    assert "grade both anew" in caught.value.hint


def test_nothing_is_not_compared():
    with pytest.raises(DataError, match="no item to compare"):
        pair_items("s", [], [])

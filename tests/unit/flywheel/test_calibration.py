"""What is said of a judge, against numbers worked out by hand and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from sluice.flywheel.calibration import (
    Pair,
    Rated,
    agreement_measure,
    kappa,
    length_measures,
    order_measures,
    reference_measures,
    repeat_measures,
)


def _rated(number, *means, good=None, chars=10, right=None, dialogue=None):
    """An exchange whose repeats have these mean scores; from 4 on it is good."""
    return Rated(
        dialogue or f"d{number}",
        tuple((float(mean),) for mean in means),
        tuple(mean >= 4 for mean in means) if good is None else good,
        chars,
        right,
    )


def _by_name(measures):
    return {each.measure: each for each in measures}


def test_repeats_agree_where_all_keep_or_all_drop():
    rated = [_rated(0, 5, 5, 4), _rated(1, 5, 3, 5), _rated(2, 1, 2, 1), _rated(3, 5)]
    found = _by_name(repeat_measures("judge", rated, score_range=4.0, seed=1))
    assert found["repeat_agreement"].estimate.value == pytest.approx(2 / 3)
    assert found["repeat_agreement"].num_items == 3, "one verdict alone repeats nothing"
    # variances 1/3, 4/3, 1/3
    assert found["repeat_deviation"].estimate.value == pytest.approx((2 / 3) ** 0.5)


def test_a_judge_that_always_repeats_itself_has_no_deviation():
    found = _by_name(
        repeat_measures("judge", [_rated(n, 3, 3) for n in range(9)], score_range=4.0, seed=1)
    )
    agreement = found["repeat_agreement"].estimate
    assert (agreement.value, agreement.high) == (1, 1)
    # Clopper and Pearson's lower limit of 9 of 9
    assert agreement.low == pytest.approx(0.025 ** (1 / 9))
    assert found["repeat_deviation"].estimate.value == 0


@pytest.mark.parametrize(
    ("earlier_first", "later_first", "is_consistent"),
    [
        ("first", "second", True),
        ("second", "first", True),
        ("tie", "tie", True),
        ("first", "first", False),
        ("second", "second", False),
        ("tie", "first", False),
        ("second", "tie", False),
    ],
)
def test_a_pair_is_consistent_where_the_same_answer_wins_in_both_orders(
    earlier_first, later_first, is_consistent
):
    assert Pair("d", earlier_first, later_first).is_consistent is is_consistent


def test_order_measures_of_a_judge_that_likes_what_stands_first():
    pairs = [Pair(f"d{n}", "first", "first") for n in range(6)]
    pairs += [Pair(f"e{n}", "second", "first") for n in range(3)]
    pairs += [Pair("f", "first", "second")]
    found = _by_name(order_measures("judge", pairs, seed=1))
    assert found["flip_rate"].estimate.value == pytest.approx(0.6)
    assert found["first_share"].estimate.value == pytest.approx((12 + 3 + 1) / 20)
    assert found["later_share"].estimate.value == pytest.approx(0.75)
    assert found["later_share"].num_items == 4


def test_no_pairs_are_no_number():
    for each in order_measures("judge", [], seed=1):
        assert (each.estimate, each.num_items) == (None, 0)
        assert each.status == "nothing to measure it on"


def _mixed(count=60):
    rng = np.random.default_rng(3)
    return [
        _rated(n, int(score), chars=int(length), right=bool(rng.random() < score / 5))
        for n, (score, length) in enumerate(
            zip(rng.integers(1, 6, count), rng.integers(5, 300, count), strict=True)
        )
    ]


def test_kappa_and_auroc_are_those_of_scikit_learn():
    rated = _mixed()
    found = _by_name(reference_measures("judge", rated, seed=1))
    right = [each.is_right for each in rated]
    assert found["reference_kappa"].estimate.value == pytest.approx(
        cohen_kappa_score([each.is_good[0] for each in rated], right)
    )
    assert found["reference_auroc"].estimate.value == pytest.approx(
        roc_auc_score(right, [each.mean for each in rated])
    )
    assert found["reference_kappa"].estimate.low < found["reference_kappa"].estimate.value


def test_kappa_by_hand():
    first = np.array([True] * 25 + [False] * 25)
    second = np.array([True] * 20 + [False] * 5 + [True] * 10 + [False] * 15)
    assert kappa(first, second) == pytest.approx((0.7 - 0.5) / 0.5)
    assert kappa(first[:25], first[:25]) is None, "all the same says nothing"
    assert kappa(first, ~first) == pytest.approx(-1)


def test_length_correlation_is_spearmans_and_has_a_part_for_right_answers():
    rated = _mixed()
    found = _by_name(length_measures("judge", rated, seed=1))
    for name, some in (
        ("length_correlation", rated),
        ("length_correlation_of_right", [each for each in rated if each.is_right]),
    ):
        expected = spearmanr([each.mean for each in some], [each.num_chars for each in some])
        assert found[name].estimate.value == pytest.approx(expected.statistic)
        assert found[name].num_items == len(some)


def test_equal_scores_have_no_correlation():
    rated = [_rated(n, 5, chars=n) for n in range(10)]
    measure = _by_name(length_measures("judge", rated, seed=1))["length_correlation"]
    assert measure.status == "undefined: all values are equal"
    assert measure.estimate is None


def test_answers_without_reference_do_not_count_against_one():
    rated = [*_mixed(), *(_rated(f"x{n}", 5) for n in range(9))]
    assert _by_name(reference_measures("judge", rated, seed=1))["reference_kappa"].num_items == 60


def test_two_judges_are_compared_on_what_both_scored():
    first = [_rated(n, 5 if n % 2 else 1) for n in range(20)]
    second = [_rated(n, 5 if n % 4 else 1) for n in range(20)]
    expected = cohen_kappa_score([bool(n % 2) for n in range(20)], [bool(n % 4) for n in range(20)])
    assert agreement_measure(first, second, seed=1).estimate.value == pytest.approx(expected)


def test_exchanges_of_one_dialogue_are_drawn_together():
    alone = [_rated(n, 5, 5 if n % 2 else 1) for n in range(40)]
    paired = [_rated(n, 5, 5 if n % 2 else 1, dialogue=f"d{n % 2}{n // 8}") for n in range(40)]
    widths = [
        _by_name(repeat_measures("judge", rated, score_range=4.0, seed=1))[
            "repeat_agreement"
        ].estimate
        for rated in (alone, paired)
    ]
    narrow, wide = (each.high - each.low for each in widths)
    assert widths[0].value == widths[1].value
    assert wide > 1.5 * narrow

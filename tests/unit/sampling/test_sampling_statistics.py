"""Numbers of a sampling run."""

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.engines.engine import Completion
from sluice.grading.grade import Grade, share_of_commonest
from sluice.sampling.sampling import GradedCompletion
from sluice.sampling.statistics import pass_at_k, summarise


def _brute_force(num_samples, num_correct, k):
    """Share of all choices of k completions that hold a correct one."""
    completions = [True] * num_correct + [False] * (num_samples - num_correct)
    choices = list(combinations(completions, k))
    return sum(any(choice) for choice in choices) / len(choices)


@pytest.mark.parametrize("num_samples", range(1, 9))
def test_pass_at_k_is_that_of_every_choice_of_k_completions(num_samples):
    for num_correct in range(num_samples + 1):
        for k in range(1, num_samples + 1):
            expected = _brute_force(num_samples, num_correct, k)
            assert pass_at_k(num_samples, num_correct, k) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 300), st.data())
def test_pass_at_k_is_the_formula_with_binomials(num_samples, data):
    num_correct = data.draw(st.integers(0, num_samples))
    k = data.draw(st.integers(1, num_samples))
    exact = 1 - comb(num_samples - num_correct, k) / comb(num_samples, k)
    assert pass_at_k(num_samples, num_correct, k) == pytest.approx(exact, abs=1e-9)


def _graded(verdict, *, answer=None, tokens=10, rejection="verdict", reason="stop"):
    rejection = verdict if rejection == "verdict" and verdict != "correct" else rejection
    rejection = None if rejection == "verdict" else rejection
    completion = Completion("text", tokens, reason)
    return GradedCompletion("p_0", completion, Grade(verdict, answer), rejection)


def test_every_number_of_a_small_run():
    graded = [
        [
            _graded("correct", answer="1"),
            _graded("correct", answer="1", rejection="duplicate"),
            _graded("wrong", answer="2"),
            _graded("cut_off", tokens=30, reason="length"),
        ],
        [_graded("wrong", answer="1"), *[_graded("no_answer")] * 3],
    ]
    found = summarise(graded, seconds=1.23456, used={"num_samples": 4})
    assert found == {
        "samples": 2,
        "generated": 8,
        "correct": 2,
        "accepted": 1,
        "acceptance_rate": 1 / 8,
        "prompts_without_correct": 1,
        "mean_correct_per_prompt": 1.0,
        # First prompt: 2 of 4 correct. 1 - C(2,2)/C(4,2) = 5/6; three always hold a correct one.
        "pass_at_k": {
            "1": pytest.approx(1 / 4),
            "2": pytest.approx(5 / 12),
            "3": pytest.approx(1 / 2),
            "4": pytest.approx(1 / 2),
        },
        "tokens": 100,
        "mean_tokens_per_completion": 12.5,
        "cut_off_share": 1 / 8,
        "seconds": 1.235,
        "commonest_answer": "1",
        "commonest_answer_share": 3 / 8,
        "rejected": {"cut_off": 1, "duplicate": 1, "no_answer": 3, "wrong": 2},
        "settings": {"num_samples": 4},
    }


def test_of_equally_common_answers_the_first_in_the_alphabet_is_named():
    assert share_of_commonest(["b", "a", "b", "a", "c"]) == ("a", 2 / 5)


def test_without_any_answer_there_is_no_commonest_one():
    found = summarise([[_graded("no_answer")]], seconds=1.0, used={})
    assert (found["commonest_answer"], found["commonest_answer_share"]) == (None, None)

"""Losses to decisions."""

import pytest

from sluice.core_metric.decisions import decide
from sluice.core_metric.questions import Question, Row
from sluice.core_metric.scoring import RowScore
from sluice.errors import ScoringError


def choose(*losses, gold=0):
    rows = tuple(Row((1, 2), 1) for _ in losses)
    scores = [None if loss is None else RowScore(loss, is_greedy=False) for loss in losses]
    return decide("multiple_choice", Question(7, gold, rows), scores)


def test_the_lowest_mean_loss_is_chosen():
    decision = choose(2.5, 1.5, 3.0, gold=1)
    assert (decision.index, decision.predicted, decision.is_correct) == (7, 1, True)
    assert not choose(2.5, 1.5, 3.0, gold=2).is_correct


def test_of_equal_losses_the_first_is_chosen():
    assert choose(2.0, 1.0, 1.0).predicted == 1


def test_option_without_tokens_of_its_own_wins_only_as_the_first():
    assert choose(None, 1.0).predicted == 0
    assert choose(2.0, None, 1.0).predicted == 2
    assert choose(2.0, None).losses_nats == (2.0, None)


def test_schema_is_decided_like_multiple_choice():
    rows = (Row((1, 2), 1), Row((3, 2), 1))
    scores = [RowScore(2.0, False), RowScore(1.0, False)]
    assert decide("schema", Question(0, 1, rows), scores).is_correct


@pytest.mark.parametrize("is_greedy", [True, False])
def test_language_modelling_is_right_where_every_token_is_the_likeliest(is_greedy):
    question = Question(0, 0, (Row((1, 2, 3), 2),))
    decision = decide("language_modeling", question, [RowScore(0.1, is_greedy)])
    assert decision.is_correct is is_greedy
    assert decision.predicted is None


def test_language_modelling_without_a_token_to_score_is_wrong():
    assert not decide("language_modeling", Question(0, 0, (Row((1,), 0),)), [None]).is_correct


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_loss_that_is_no_number_is_an_error(loss):
    with pytest.raises(ScoringError, match=r"item 7 (.|\n)*precision"):
        choose(1.0, loss)

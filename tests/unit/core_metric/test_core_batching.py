"""Plans of batches: complete, within the limits, whatever the questions."""

from hypothesis import given
from hypothesis import strategies as st

from sluice.core_metric.batching import (
    Limits,
    group,
    plan_batches,
    plan_prefix_batches,
    rows_fit,
    shares_prefix,
)
from sluice.core_metric.questions import Question, Row


@st.composite
def questions(draw):
    """Questions of 2 to 4 options with a common prefix of 8 to 60 tokens."""
    found = []
    for index in range(draw(st.integers(1, 25))):
        prefix = tuple(range(draw(st.integers(8, 60))))
        tails = draw(st.lists(st.integers(1, 20), min_size=2, max_size=4))
        rows = tuple(
            Row((*prefix, *([100 + option] * size)), size) for option, size in enumerate(tails)
        )
        found.append(Question(index, 0, rows))
    return found


limits = st.builds(
    Limits, st.integers(100, 400), vocabulary_size=st.sampled_from([50, 2**20, 2**24])
)


@given(questions(), limits, st.booleans())
def test_every_question_is_in_one_prefix_batch_and_no_batch_of_several_exceeds_the_limits(
    asked, limits, equal_only
):
    assert all(shares_prefix(question) for question in asked)
    batches = plan_prefix_batches(asked, limits=limits, equal_only=equal_only)
    assert sorted(each.index for batch in batches for each in batch) == list(range(len(asked)))
    for batch in batches:
        lengths = [question.num_shared for question in batch]
        if len(batch) > 1:
            num_lengths = len(set(lengths))
            assert len(batch) * max(lengths) <= limits.max_tokens
            assert len(batch) * num_lengths * limits.vocabulary_size <= 2**26
        if equal_only:
            assert len(set(lengths)) == 1


@given(questions(), limits)
def test_every_question_is_in_one_batch_of_whole_rows_within_the_limits(asked, limits):
    batches = plan_batches(asked, limits=limits)
    assert sorted(each.index for batch in batches for each in batch) == list(range(len(asked)))
    for batch in batches:
        rows = [row for question in batch for row in question.rows]
        if len(batch) > 1:
            assert len(rows) * max(len(row.tokens) for row in rows) <= limits.max_tokens
        assert len(batch) == 1 or rows_fit(rows, limits)


@given(questions(), limits, st.randoms())
def test_batches_do_not_depend_on_the_order_of_questions(asked, limits, shuffler):
    again = list(asked)
    shuffler.shuffle(again)
    assert plan_batches(asked, limits=limits) == plan_batches(again, limits=limits)
    kwargs = {"limits": limits, "equal_only": False}
    assert plan_prefix_batches(asked, **kwargs) == plan_prefix_batches(again, **kwargs)


def test_groups_are_as_large_as_fit_and_what_fits_nowhere_stands_alone():
    assert group([3, 3, 9, 1, 1, 1], lambda each: sum(each) <= 6) == [[3, 3], [9], [1, 1, 1]]


def test_one_option_shares_nothing():
    assert not shares_prefix(Question(0, 0, (Row(tuple(range(30)), 5),)))

"""Prompts as tokens of one byte each, so that every number can be counted by hand."""

from pathlib import Path

import pytest
from tiny_models import byte_tokenizer

from sluice.core_metric.bundle import Item, Task
from sluice.core_metric.questions import Question, Row, common_prefix, encode_questions


def encode(type_, item, *, tokenizer=None, max_tokens=None, delimiter=" "):
    task = Task("t", type_, Path("t.jsonl"), 0, delimiter, {"v2": 0.0})
    (question,) = encode_questions(
        task, [item], [0], tokenizer=tokenizer or byte_tokenizer(), max_tokens=max_tokens
    )
    return question


def texts(question):
    return [byte_tokenizer().decode(list(row.tokens)) for row in question.rows]


def test_multiple_choice_scores_what_differs_to_the_end():
    question = encode("multiple_choice", Item(1, ("ab",), ("tea", "ten", "x"), 2))
    assert texts(question) == ["ab tea", "ab ten", "ab x"]
    # "ab " is common to all three.
    assert [row.num_scored for row in question.rows] == [3, 3, 1]
    assert question.num_shared == 3
    assert question.gold == 2


def test_what_two_of_three_choices_share_is_still_scored():
    question = encode("multiple_choice", Item(1, ("ab",), ("tea", "ten"), 0))
    assert [row.num_scored for row in question.rows] == [1, 1]
    assert question.num_shared == 5


def test_schema_scores_the_common_end():
    question = encode("schema", Item(1, ("box one", "box two"), ("is big",), 0))
    # Of "one is big" and "two is big" the last 7 bytes are common.
    assert [row.num_scored for row in question.rows] == [7, 7]
    assert question.num_shared == 4


def test_language_modelling_scores_the_continuation_with_its_space():
    question = encode("language_modeling", Item(1, ("ab",), ("cde",), 0))
    (row,) = question.rows
    assert (len(row.tokens), row.num_scored) == (6, 4)
    assert not question.has_split_token


def test_continuation_that_begins_inside_a_token_is_scored_from_that_token_on():
    class Pairs:
        """Two characters a token."""

        bos_token_id = None

        def __call__(self, texts, **_):
            pairs = [[text[at : at + 2] for at in range(0, len(text), 2)] for text in texts]
            return {"input_ids": [[hash(pair) for pair in found] for found in pairs]}

    # "abc" is ab|c and "abc de" is ab|c |de: they part behind "ab".
    question = encode("language_modeling", Item(1, ("abc",), ("de",), 0), tokenizer=Pairs())
    assert question.has_split_token
    assert (len(question.rows[0].tokens), question.rows[0].num_scored) == (3, 2)


def test_bos_opens_every_prompt_where_the_tokenizer_has_one():
    tokenizer = byte_tokenizer()
    tokenizer.bos_token = "<|endoftext|>"
    question = encode("multiple_choice", Item(1, ("q",), ("a", "b"), 0), tokenizer=tokenizer)
    assert all(row.tokens[0] == tokenizer.bos_token_id for row in question.rows)
    assert [len(row.tokens) for row in question.rows] == [4, 4]
    assert question.num_shared == 3


def test_first_token_is_not_scored_since_nothing_predicts_it():
    question = encode("multiple_choice", Item(1, ("",), ("ab", "cd"), 0), delimiter="")
    assert [row.num_scored for row in question.rows] == [1, 1]
    assert question.num_shared == 0


def test_long_prompts_lose_tokens_from_the_left():
    question = encode("multiple_choice", Item(1, ("abcdefgh",), ("x", "yyyyy"), 0), max_tokens=6)
    assert texts(question) == ["efgh x", " yyyyy"]
    assert [row.num_scored for row in question.rows] == [1, 5]
    # Cut at different places, they share nothing any more.
    assert question.num_shared == 0


def test_continuation_longer_than_the_context_is_scored_but_for_the_first_token():
    question = encode("language_modeling", Item(1, ("ab",), ("c" * 20,), 0), max_tokens=8)
    assert (len(question.rows[0].tokens), question.rows[0].num_scored) == (8, 7)


def test_choice_that_all_others_begin_with_has_nothing_to_score():
    question = encode("multiple_choice", Item(1, ("q",), ("1", "10", "11"), 0))
    assert [row.num_scored for row in question.rows] == [0, 1, 1]
    assert [len(row.tokens) for row in question.distinct_rows] == [4, 4]


def test_equal_choices_are_one_row():
    question = encode("multiple_choice", Item(1, ("q",), ("no", "ja", "no"), 1))
    assert len(question.rows) == 3
    assert len(question.distinct_rows) == 2


def test_shared_prefix_ends_before_the_first_scored_token():
    rows = (Row((1, 2, 3, 4, 9), 3), Row((1, 2, 3, 4, 8), 3))
    assert Question(0, 0, rows).num_shared == 2


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [([(1, 2), (1, 3)], 1), ([(1, 2), (1, 2, 3)], 2), ([(1,), (2,)], 0), ([(), (1,)], 0)],
)
def test_common_prefix(sequences, expected):
    assert common_prefix(sequences) == expected

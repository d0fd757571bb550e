"""Rows of packed text hold every token once, and depend on nothing but seed and number."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.base.corpus import TokenisedText
from sluice.base.packing import PackedRows, rows_in_order
from sluice.errors import DataError

BEGIN = 0


def text_of(documents):
    tokens = np.array([token for each in documents for token in each], dtype="<u2")
    ends = np.cumsum([len(each) for each in documents]).astype("<u8")
    return TokenisedText(Path("train.tokens"), tokens, ends)


def numbered(lengths):
    """Documents that begin with BEGIN and hold no token twice, so that each can be found again."""
    documents, next_token = [], 1
    for length in lengths:
        documents.append([BEGIN, *range(next_token, next_token + length)])
        next_token += length
    return documents


LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(lambda each: sum(each) > 10)


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, row_tokens=st.integers(1, 9), seed=st.integers(0, 5))
def test_an_epoch_has_each_token_as_a_target_once_behind_the_one_that_it_follows(
    lengths, row_tokens, seed
):
    documents = numbered(lengths)
    rows = PackedRows(text_of(documents), row_tokens=row_tokens, seed=seed)
    found = [rows[number].tolist() for number in range(rows.rows_per_epoch)]
    assert all(len(row) == row_tokens + 1 for row in found)
    before = {token: last for each in documents for last, token in pairwise(each)}
    lasts = [each[-1] for each in documents]
    seen = [pair for row in found for pair in pairwise(row)]
    assert all(last in lasts if token == BEGIN else last == before[token] for last, token in seen)
    counts = Counter(token for _, token in seen)
    assert all(count == 1 for token, count in counts.items() if token != BEGIN)
    # The stream's first token is nobody's target; what fills no row at its end is left out.
    assert counts[BEGIN] < len(documents)
    assert 0 <= sum(map(len, documents)) - 1 - len(seen) < row_tokens


def test_rows_can_be_read_in_any_order():
    text = text_of(numbered([20, 3, 17, 40]))
    forward = PackedRows(text, row_tokens=8, seed=3)
    backward = PackedRows(text, row_tokens=8, seed=3)
    numbers = range(3 * forward.rows_per_epoch)
    expected = {number: forward[number].tolist() for number in numbers}
    assert {number: backward[number].tolist() for number in reversed(numbers)} == expected


def test_epochs_and_seeds_differ_in_order():
    text = text_of(numbered([5] * 30))
    rows, other = (PackedRows(text, row_tokens=8, seed=seed) for seed in (1, 2))
    count = rows.rows_per_epoch
    first, second = ([rows[base + n].tolist() for n in range(count)] for base in (0, count))
    assert first != second
    assert first != [other[n].tolist() for n in range(count)]


def test_a_long_document_does_not_fill_a_batch_by_itself():
    text = text_of(numbered([1000, *[10] * 100]))
    rows = PackedRows(text, row_tokens=20, seed=1)
    in_long = [rows[number].min() > 0 and rows[number].max() <= 1000 for number in range(16)]
    assert 0 < sum(in_long) < 16


def test_text_that_fills_no_row_is_an_error():
    with pytest.raises(DataError, match="the text has 8 tokens, which do not fill a row"):
        PackedRows(text_of(numbered([7])), row_tokens=8, seed=1)


def test_held_out_rows_follow_the_file_and_the_last_one_is_short():
    text = text_of([[0, 1, 2, 3], [0, 4, 5]])
    rows = rows_in_order(text, row_tokens=4, max_tokens=100)
    assert [row.tolist() for row in rows] == [[0, 1, 2, 3, 0], [0, 4, 5]]


def test_held_out_rows_end_after_so_many_targets():
    text = text_of([[0, 1, 2, 3], [0, 4, 5]])
    rows = rows_in_order(text, row_tokens=2, max_tokens=3)
    assert [row.tolist() for row in rows] == [[0, 1, 2], [2, 3]]
    assert rows_in_order(text_of([[0]]), row_tokens=2, max_tokens=3) == []

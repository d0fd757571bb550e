"""Messages say what, where, what was expected and what to do."""

import pytest

from sluice.errors import ConfigError, DataError, SluiceError, shorten_ids


def test_parts_stand_on_lines_of_their_own():
    error = DataError("3 rows are lost", where="a.jsonl", expected="none", hint="look again")
    assert str(error) == ("3 rows are lost\n  in a.jsonl\n  Expected: none\n  Hint: look again")
    assert (error.where, error.expected, error.hint) == ("a.jsonl", "none", "look again")


def test_absent_parts_take_no_line():
    assert str(ConfigError("wrong", hint="right")) == "wrong\n  Hint: right"
    assert isinstance(ConfigError("wrong"), SluiceError)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        (["a", "b", "c", "d"], "a, b, c and 1 more"),
        ([str(n) for n in range(2003)], "0, 1, 2 and 2,000 more"),
    ],
)
def test_long_lists_of_ids_are_shortened(ids, expected):
    assert shorten_ids(ids) == expected

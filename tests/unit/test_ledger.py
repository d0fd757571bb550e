"""Rows in = kept + rejected."""

import json

import pytest

from sluice.ledger import Ledger, read_ledger


def _ledger(folder):
    return Ledger("step", "d", path=folder / "l.json", rejected_path=folder / "r.jsonl")


def test_books_are_written_and_read_back(tmp_path):
    with _ledger(tmp_path) as ledger:
        ledger.read(3)
        ledger.keep()
        ledger.reject("too_long", row={"a": "中"}, where="line 2", detail="9 characters")
        ledger.reject("empty", row=None)
    assert read_ledger(tmp_path / "l.json") == {
        "step": "step",
        "dataset": "d",
        "rows_in": 3,
        "rows_kept": 1,
        "rejected": {"empty": 1, "too_long": 1},
    }
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {
        "reason": "too_long",
        "where": "line 2",
        "detail": "9 characters",
        "row": {"a": "中"},
    }
    assert ledger.summary() == "3 rows in, 1 kept, 2 rejected (empty 1, too_long 1)"


@pytest.mark.parametrize("num_kept", [1, 3])
def test_lost_or_invented_row_is_an_assertion_and_no_file(tmp_path, num_kept):
    def fail():
        with _ledger(tmp_path) as ledger:
            ledger.read(2)
            ledger.keep(num_kept)

    with pytest.raises(AssertionError, match="step of d lost rows: 2 in"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_error_inside_leaves_neither_file(tmp_path):
    def fail():
        with _ledger(tmp_path) as ledger:
            ledger.read()
            ledger.reject("empty", row="x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_rejected_row_may_hold_half_a_surrogate_pair_and_any_line_separator(tmp_path):
    with _ledger(tmp_path) as ledger:
        ledger.read()
        ledger.reject("bad_text", row="\ud800 \u2028 \n")
    (line,) = (tmp_path / "r.jsonl").read_bytes().splitlines()
    assert json.loads(line)["row"] == "\ud800 \u2028 \n"


def test_ledger_without_rejections_needs_no_rejected_file(tmp_path):
    with Ledger("step", "d", path=tmp_path / "l.json") as ledger:
        ledger.read(2)
        ledger.keep(2)
    assert [path.name for path in tmp_path.iterdir()] == ["l.json"]
    assert ledger.summary() == "2 rows in, 2 kept, 0 rejected"

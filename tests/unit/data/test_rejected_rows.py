"""What becomes of rows that cannot be used, and how many of them stop the run."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_bytes import to_csv, to_parquet
from sources_for_tests import (
    ALPACA,
    FORMAT_ROWS,
    GOOD,
    GOOD_LINES,
    convert,
    convert_rows,
    entries,
    to_jsonl,
    written,
)

from sluice import sources
from sluice.errors import DataError


def _rejected_row(folder, lines, *, suffix=".jsonl", limits=None, **source):
    """Reason, place, detail and row of the one row that is rejected among good ones."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"source{suffix}"
    path.write_bytes(lines)
    done = convert(folder / "out", path, limits=limits, **source)
    (entry,) = done.rejected
    assert done.ledger["rejected"] == {entry["reason"]: 1}
    assert done.ledger["rows_in"] == done.ledger["rows_kept"] + 1
    assert len(done.samples) == done.ledger["rows_kept"] > 0
    return entry["reason"], entry["where"], entry["detail"], entry["row"]


def _bad_row(folder, row, **options):
    """The same, the row being the eleventh."""
    rows = [GOOD] * 10 if "messages" not in row else [FORMAT_ROWS["messages"][0]] * 10
    return _rejected_row(folder, to_jsonl([*rows, row]), **options)


def test_bad_json_is_rejected(tmp_path):
    assert _rejected_row(tmp_path, GOOD_LINES + b'{"prompt": "p"\n') == (
        "bad_json",
        "source.jsonl line 11",
        "the row cannot be read",
        '{"prompt": "p"',
    )


def test_bad_utf8_is_rejected(tmp_path):
    assert _rejected_row(tmp_path, GOOD_LINES + b'{"prompt": "\xe4"}\n') == (
        "bad_utf8",
        "source.jsonl line 11",
        "the row cannot be read",
        '{"prompt": "\\xe4"}',
    )


@pytest.mark.parametrize("column", ["prompt", "completion", "note"])
def test_half_a_surrogate_pair_is_bad_utf8(tmp_path, column):
    line = b'{"prompt": "p", "completion": "c", "%s": "\\ud83d"}\n' % column.encode()
    found = _rejected_row(tmp_path, GOOD_LINES + line)
    assert found[:2] == ("bad_utf8", "source.jsonl line 11")
    assert found[3] == GOOD | {column: "\ud83d"}


def test_bad_utf8_in_csv_is_rejected(tmp_path):
    data = to_csv([GOOD] * 10) + b"p\xff,c\r\n"
    found = _rejected_row(tmp_path, data, suffix=".csv")
    assert found[:2] == ("bad_utf8", "source.csv line 12")
    assert found[3] == {"prompt": "p\udcff", "completion": "c"}


def test_bad_utf8_in_parquet_is_rejected(tmp_path):
    texts = [b"fine"] * 10 + [b"\xff\xff\xff\xff"]
    offsets = pa.array(range(0, 48, 4), pa.int32()).buffers()[1]
    column = pa.Array.from_buffers(pa.string(), 11, [None, offsets, pa.py_buffer(b"".join(texts))])
    path = tmp_path / "source.parquet"
    pq.write_table(pa.table({"prompt": column, "completion": ["c"] * 11}), path)
    done = convert(tmp_path / "out", path)
    assert [(entry["reason"], entry["where"]) for entry in done.rejected] == [
        ("bad_utf8", "source.parquet row 11")
    ]
    assert len(done.samples) == 10


def test_bad_csv_row_is_rejected(tmp_path):
    data = to_csv([GOOD] * 10) + b"p\r\n"
    assert _rejected_row(tmp_path, data, suffix=".csv") == (
        "bad_csv",
        "source.csv line 12",
        "the row cannot be read",
        '{"prompt": "p", "completion": null}',
    )


def test_line_too_long_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_LINE_BYTES", 100)
    reason, where, _, row = _rejected_row(tmp_path, GOOD_LINES + b"x" * 5000 + b"\n")
    assert (reason, where) == ("line_too_long", "source.jsonl line 11")
    assert row == "x" * 101


def test_over_long_is_rejected_by_the_characters_of_its_messages(tmp_path):
    limits = {"max_chars": 20}
    fits = {"prompt": "文" * 10, "completion": "c" * 10, "note": "n" * 100}
    lines = GOOD_LINES + to_jsonl([fits, fits | {"completion": "c" * 11}])
    reason, where, detail, _ = _rejected_row(tmp_path, lines, limits=limits)
    assert (reason, where) == ("over_long", "source.jsonl line 12")
    assert detail == "more than 20 characters"


@pytest.mark.parametrize("text", ["", " \n\t\u3000"], ids=ascii)
def test_no_assistant_text_is_rejected(tmp_path, text):
    found = _bad_row(tmp_path, GOOD | {"completion": text})
    assert found[0] == "no_assistant_text"
    assert found[2] == "no assistant message with text"
    assert found[3] == GOOD | {"completion": text}


def test_dialogue_without_assistant_is_rejected(tmp_path):
    row = {"messages": [{"role": "user", "content": "q"}]}
    assert _bad_row(tmp_path, row)[0] == "no_assistant_text"


def test_no_user_text_is_rejected(tmp_path):
    found = _bad_row(tmp_path, GOOD | {"prompt": ""})
    assert found[0] == "no_user_text"
    assert found[2] == "no user message with text"


def test_unknown_role_is_rejected(tmp_path):
    row = {"messages": [{"role": "bot", "content": "x"}]}
    reason, where, detail, kept = _bad_row(tmp_path, row)
    assert (reason, where, detail) == ("unknown_role", "source.jsonl line 11", "role 'bot'")
    assert kept == row


@pytest.mark.parametrize("row", [{"prompt": "p"}, {"note": "n"}, {}], ids=str)
def test_missing_field_is_rejected(tmp_path, row):
    reason, _, _, kept = _bad_row(tmp_path, row)
    assert reason == "missing_field"
    assert kept == row


def test_wrong_type_is_rejected(tmp_path):
    found = _bad_row(tmp_path, GOOD | {"completion": 5})
    assert (found[0], found[2]) == ("wrong_type", "'completion' is int, not text")


@pytest.mark.parametrize("value", [None, 0, "text", [], [1]], ids=repr)
def test_row_that_is_no_object_is_rejected_as_it_was(tmp_path, value):
    lines = GOOD_LINES + json.dumps(value).encode() + b"\n"
    reason, _, detail, row = _rejected_row(tmp_path, lines)
    assert reason == "wrong_type"
    assert detail == f"the row is {type(value).__name__}, not an object"
    assert row == value


@pytest.mark.parametrize(
    ("field", "detail"),
    [
        ({"weight": 0}, "weight: Input should be greater than 0"),
        ({"weight": "heavy"}, "weight: Input should be a valid number"),
        ({"reference": "4"}, "reference: Input should be a valid dictionary"),
        ({"meta": "m"}, "an object is missing"),
    ],
    ids=str,
)
def test_canonical_field_of_a_wrong_type_is_rejected(tmp_path, field, detail):
    found = _bad_row(tmp_path, FORMAT_ROWS["messages"][0] | field)
    assert found[0] == "wrong_type"
    assert found[2].startswith(detail)


def test_row_nested_too_deep_is_rejected(tmp_path):
    line = b'{"prompt": "p", "completion": "c", "note": %s}\n' % (b"[" * 900 + b"]" * 900)
    assert _rejected_row(tmp_path, GOOD_LINES + line)[0] == "wrong_type"


def test_duplicate_id_is_rejected_and_the_first_is_kept(tmp_path):
    rows = [FORMAT_ROWS["messages"][0] | {"id": f"{n}"} for n in range(10)]
    other = [{"role": "user", "content": "2"}, {"role": "assistant", "content": "2"}]
    again = rows[4] | {"messages": other}
    found = _rejected_row(tmp_path, to_jsonl([*rows, again]))
    assert found == ("duplicate_id", "source.jsonl line 11", "d_4", again)


def test_id_of_a_rejected_row_is_free(tmp_path):
    row = FORMAT_ROWS["messages"][0]
    rows = [row] * 10 + [row | {"id": "x", "messages": []}, row | {"id": "x"}]
    assert _rejected_row(tmp_path, to_jsonl(rows))[0] == "no_assistant_text"


def test_unknown_article_is_rejected(tmp_path, articles):
    row = FORMAT_ROWS["lawshift"][0]
    lines = to_jsonl([row] * 10 + [row | {"relevant_articles": [999]}])
    found = _rejected_row(tmp_path / "run", lines, articles=articles)
    assert (found[0], found[2]) == ("unknown_article", "article 999 is not in the articles file")


def test_parquet_bytes_are_rejected_and_shown(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(to_parquet([GOOD | {"image": None}] * 10 + [GOOD | {"image": b"\x89PNG"}]))
    (entry,) = convert(tmp_path / "out", path).rejected
    assert (entry["reason"], entry["where"]) == ("wrong_type", "a.parquet row 11")
    assert entry["row"]["image"] == repr(b"\x89PNG")


def test_more_than_the_allowed_share_stops_the_run_and_keeps_the_rejected(tmp_path):
    rows = [GOOD] * 17 + [{"prompt": "p"}] * 2 + [GOOD | {"completion": ""}]
    with pytest.raises(DataError) as caught:
        convert_rows(tmp_path, rows)
    kept = tmp_path / "out" / "kept" / "rejected.jsonl"
    assert str(caught.value).splitlines() == [
        "3 of 20 rows (15%) cannot be used: missing_field 2, no_assistant_text 1",
        f"  in {tmp_path / 'source.jsonl'}",
        "  Expected: at most 10% (data.max_rejected_share)",
        f"  Hint: the rejected rows with their reasons: {kept}",
    ]
    assert [(entry["reason"], entry["where"]) for entry in entries(kept)] == [
        ("missing_field", "source.jsonl line 18"),
        ("missing_field", "source.jsonl line 19"),
        ("no_assistant_text", "source.jsonl line 20"),
    ]
    assert written(tmp_path / "out") == ["rejected.jsonl"]


def test_exactly_the_allowed_share_is_allowed(tmp_path):
    rows = [GOOD] * 9 + [{"prompt": "p"}]
    assert len(convert_rows(tmp_path / "a", rows).samples) == 9
    with pytest.raises(DataError, match=r"1 of 9 rows \(11%\) cannot be used"):
        convert_rows(tmp_path / "b", rows[1:])


def test_allowed_share_is_a_setting(tmp_path):
    rows = [GOOD] * 99 + [{"prompt": "p"}]
    with pytest.raises(DataError, match=r"1 of 100 rows \(1%\)"):
        convert_rows(tmp_path / "a", rows, limits={"max_rejected_share": 0})
    done = convert_rows(tmp_path / "b", rows[98:], limits={"max_rejected_share": 1})
    assert (len(done.samples), done.ledger["rejected"]) == (1, {"missing_field": 1})


def test_folder_of_two_formats_stops_the_run(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(to_jsonl(ALPACA))
    (folder / "b.jsonl").write_bytes(to_jsonl([FORMAT_ROWS["sharegpt"][0]] * 20))
    with pytest.raises(DataError, match=r"20 of 66 rows .* cannot be used: missing_field 20"):
        convert(tmp_path / "out", folder)


def test_named_format_that_does_not_fit_stops_the_run(tmp_path):
    with pytest.raises(DataError, match=r"46 of 46 rows \(100%\) cannot be used: missing_field 46"):
        convert_rows(tmp_path, ALPACA, format="sharegpt")


def test_format_is_found_behind_unreadable_rows(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{\n" * 2 + to_jsonl([GOOD] * 30))
    assert len(convert(tmp_path / "out", path).samples) == 30


@pytest.mark.parametrize("field", ["reference", "meta"])
@pytest.mark.parametrize(
    "value", [b"Infinity", b"1e999", b"[" * 150 + b"]" * 150], ids=["infinity", "1e999", "deep"]
)
def test_value_that_could_not_be_read_again_is_rejected(tmp_path, field, value):
    row = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'
    source = tmp_path / "source.jsonl"
    source.write_bytes(row + b', "%s": {"x": %s}}\n' % (field.encode(), value) + row + b"}\n")
    found = convert(tmp_path / "out", source, limits={"max_rejected_share": 0.5})
    assert [sample.id for sample in found.samples] == ["d_1"]
    assert found.ledger["rejected"] == {"wrong_type": 1}

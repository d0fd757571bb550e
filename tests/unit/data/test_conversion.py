"""From any source to canonical samples, and what becomes of rows that cannot be used."""

import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_bytes import to_csv, to_parquet
from sources_for_tests import (
    COMPRESSIONS,
    CONTAINERS,
    LEGAL_PROMPT,
    convert,
    convert_rows,
    entries,
    exchanges,
    to_json,
    to_jsonl,
)
from support import ROOT

from sluice import sources
from sluice.errors import DataError
from sluice.ledger import read_ledger
from sluice.records import Sample, read_samples, write_samples

GOOD = {"prompt": "p", "completion": "c"}
HELLO = [("user", "Hello?"), ("assistant", "Hi.")]
STRANGE = [
    "a\u2028b\u2029c\x85d",
    "nul\x00byte\x1f",
    "one\r\ntwo\rthree\n",
    "🙃👩‍👩‍👧 中文日本語한국어",
    "\ufeffmark",
    '"quoted", \\back\\slash, {"json": 1}',
]

ARTICLES = {"264": "第264条 盗窃", "67": "第67条 自首"}

# Format -> (row, messages, group, reference, meta)
FORMAT_ROWS = {
    "messages": (
        {
            "messages": [
                {"role": "user", "content": "Hello?"},
                {"role": "assistant", "content": "Hi."},
            ],
            "group": "g",
            "reference": {"answer": "Hi."},
        },
        HELLO,
        "g",
        {"answer": "Hi."},
    ),
    "alpaca": ({"instruction": "Hello?", "input": "", "output": "Hi."}, HELLO, None, None),
    "sharegpt": (
        {
            "conversations": [
                {"from": "human", "value": "Hello?"},
                {"from": "function_call", "value": '{"name": "greet"}'},
                {"from": "observation", "value": "Hi"},
                {"from": "gpt", "value": "Hi."},
            ]
        },
        [
            ("user", "Hello?"),
            ("assistant", '<tool_call>\n{"name": "greet"}\n</tool_call>'),
            ("tool", "Hi"),
            ("assistant", "Hi."),
        ],
        None,
        None,
    ),
    "prompt_completion": ({"prompt": "Hello?", "completion": "Hi."}, HELLO, None, None),
    "question_answer": (
        {"question": "1 + 1?", "answer": "It is 2.\n#### 2"},
        [("user", "1 + 1?"), ("assistant", "It is 2.\n#### 2")],
        None,
        {"answer": "2"},
    ),
    "defect": (
        {
            "instruction": [{"subtype": "leak"}],
            "input": {"task": "Judge.", "event": "Oil.", "output_format": "yes or no"},
            "output": {"judgement": "yes", "reason": "Oil leaks."},
        },
        [("user", "Judge.\n\nOil.\n\nyes or no"), ("assistant", "yes\n\nOil leaks.")],
        "leak",
        {"answer": "yes"},
    ),
    "lawshift": (
        {"fact": "张某盗窃", "relevant_articles": [264, 67], "charge": "盗窃", "prison_time": 9},
        [
            (
                "user",
                LEGAL_PROMPT.read_text(encoding="utf-8")
                .replace("{articles}", "第264条 盗窃\n第67条 自首")
                .replace("{fact}", "张某盗窃"),
            ),
            ("assistant", "<answer> 盗窃 | 9 </answer>"),
        ],
        None,
        {"charge": "盗窃", "prison_time": 9, "relevant_articles": ["264", "67"]},
    ),
}


@pytest.fixture
def articles(tmp_path):
    path = tmp_path / "articles.json"
    path.write_text(json.dumps(ARTICLES), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("is_named", [False, True], ids=["found", "named"])
@pytest.mark.parametrize("name", FORMAT_ROWS)
def test_every_format_becomes_canonical_samples(tmp_path, articles, name, is_named):
    row, messages, group, reference = FORMAT_ROWS[name]
    given_format = {"format": name} if is_named else {}
    done = convert_rows(tmp_path, [row | {"topic": "t"}] * 2, articles=articles, **given_format)
    assert [exchanges(sample) for sample in done.samples] == [messages, messages]
    assert done.samples[1] == Sample(
        messages=done.samples[0].messages,
        dataset="d",
        id="d_1",
        group=group,
        reference=reference,
        meta={"topic": "t"},
    )
    assert (done.ledger["rows_in"], done.ledger["rows_kept"]) == (2, 2)
    assert done.ledger["rejected"] == {}
    assert done.rejected == []


ALPACA = [
    {"instruction": text, "input": "", "output": text[::-1], "source": f"s{n}"}
    for n, text in enumerate([*STRANGE, *(f"Question {n}?" for n in range(40))])
]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_samples(tmp_path, name, compression):
    path = tmp_path / (name + compression)
    path.write_bytes(COMPRESSIONS[compression](CONTAINERS[name](ALPACA)))
    assert convert(tmp_path / "a", path).bytes == convert_rows(tmp_path / "b", ALPACA).bytes


def test_folder_gives_the_samples_of_its_files_in_order(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "1.jsonl").write_bytes(to_jsonl(ALPACA[:10]))
    (folder / "2.csv").write_bytes(to_csv(ALPACA[10:20]))
    (folder / "3.json").write_bytes(to_json(ALPACA[20:30]))
    (folder / "4.parquet").write_bytes(to_parquet(ALPACA[30:]))
    assert convert(tmp_path / "a", folder).bytes == convert_rows(tmp_path / "b", ALPACA).bytes


def test_folder_of_one_defect_report_a_file_is_a_dataset(tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    for n, subtype in enumerate(["leak", "crack", "leak"]):
        report = FORMAT_ROWS["defect"][0] | {"instruction": [{"subtype": subtype}]}
        (folder / f"{n}.json").write_bytes(to_json(report))
    samples = convert(tmp_path / "out", folder).samples
    assert [(sample.id, sample.group) for sample in samples] == [
        ("d_0", "leak"),
        ("d_1", "crack"),
        ("d_2", "leak"),
    ]


@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_strange_characters_survive_in_every_text(tmp_path, text):
    row = {"prompt": text, "completion": text, "note": {"deep": [text]}}
    (sample,) = convert_rows(tmp_path, [row]).samples
    assert exchanges(sample) == [("user", text), ("assistant", text)]
    assert sample.meta == {"note": {"deep": [text]}}


_TEXTS = st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip)


@settings(deadline=None)
@given(st.lists(st.tuples(_TEXTS, _TEXTS), min_size=1), st.booleans())
def test_texts_come_back_unchanged_and_in_order(pairs, is_ascii):
    rows = [{"prompt": prompt, "completion": answer} for prompt, answer in pairs]
    lines = [json.dumps(row, ensure_ascii=is_ascii) + "\n" for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.jsonl"
        source.write_bytes("".join(lines).encode())
        samples = convert(Path(folder) / "out", source).samples
    assert [exchanges(sample) for sample in samples] == [
        [("user", prompt), ("assistant", answer)] for prompt, answer in pairs
    ]
    assert [sample.id for sample in samples] == [f"d_{n}" for n in range(len(pairs))]


def test_same_input_gives_the_same_bytes(tmp_path):
    rows = [*ALPACA, {"instruction": 5}]
    first, second = (convert_rows(tmp_path / name, rows) for name in "ab")
    assert first.bytes == second.bytes
    assert first.rejected == second.rejected


def test_canonical_samples_are_read_as_they_are(tmp_path):
    sample = Sample(
        messages=({"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}),
        dataset="d",
        id="d_77",
        weight=0.25,
        group="g",
        reference={"answer": None},
        meta={"more": [1, None]},
    )
    source = tmp_path / "canonical.jsonl"
    write_samples(source, [sample])
    assert convert(tmp_path / "out", source).bytes == source.read_bytes()


def test_own_ids_get_the_name_of_the_dataset(tmp_path):
    row = FORMAT_ROWS["messages"][0]
    rows = [row | {"id": given} for given in ("x", 7, "d_9", "da")] + [row]
    samples = convert_rows(tmp_path, rows).samples
    assert [sample.id for sample in samples] == ["d_x", "d_7", "d_9", "d_da", "d_4"]


def test_own_meta_and_other_columns_are_put_together(tmp_path):
    row = FORMAT_ROWS["messages"][0] | {"meta": {"a": 1}, "b": 2, "c": None}
    (sample,) = convert_rows(tmp_path, [row]).samples
    assert sample.meta == {"a": 1, "b": 2}


def test_ids_do_not_shift_when_a_row_is_rejected(tmp_path):
    rows = [GOOD | {"prompt": f"p{n}"} for n in range(12)]
    rows[3] = {"prompt": "no answer"}
    done = convert_rows(tmp_path, rows)
    assert [sample.id for sample in done.samples] == [f"d_{n}" for n in range(12) if n != 3]
    assert exchanges(done.samples[3])[0] == ("user", "p4")


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


GOOD_LINES = to_jsonl([GOOD] * 10)


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
    again = rows[4] | {"messages": FORMAT_ROWS["sharegpt"][0]["conversations"]}
    again["messages"] = [{"role": "user", "content": "2"}, {"role": "assistant", "content": "2"}]
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


def test_parquet_dates_are_kept_in_meta(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(to_parquet([GOOD | {"day": datetime.date(2026, 1, 2)}]))
    assert convert(tmp_path / "out", path).samples[0].meta == {"day": "2026-01-02"}


def test_parquet_bytes_are_rejected_and_shown(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(to_parquet([GOOD | {"image": None}] * 10 + [GOOD | {"image": b"\x89PNG"}]))
    (entry,) = convert(tmp_path / "out", path).rejected
    assert (entry["reason"], entry["where"]) == ("wrong_type", "a.parquet row 11")
    assert entry["row"]["image"] == repr(b"\x89PNG")


def _written(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


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
    assert _written(tmp_path / "out") == ["rejected.jsonl"]


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


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b"", "dataset 'd' holds no row"),
        ("a.csv", b"prompt,completion\n", "dataset 'd' holds no row"),
        ("a.json", b"[]", "dataset 'd' holds no row"),
        ("a.json", b"", "none of the first 1 rows can be read: bad_json"),
        ("a.jsonl", b"x\n" * 30, "none of the first 20 rows can be read: bad_json"),
        ("a.jsonl", b'{"body": "b"}\n', "the rows are of no known format; .* are: body"),
        ("a.txt", b"text", "is of no known kind"),
        ("a.jsonl.gz", COMPRESSIONS[".gz"](GOOD_LINES)[:-6], "is damaged: Compressed file ended"),
        ("a.jsonl.zst", COMPRESSIONS[".zst"](GOOD_LINES)[:-6], "is damaged: Truncated compressed"),
    ],
)
def test_source_that_is_none_is_an_error_and_nothing_is_written(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        convert(tmp_path / "out", path)
    assert _written(tmp_path / "out") == []


def test_damage_far_into_a_file_leaves_nothing_behind(tmp_path):
    data = COMPRESSIONS[".gz"](to_jsonl(GOOD | {"n": n * 7919 % 10007} for n in range(9000)))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(data[:-100])
    with pytest.raises(DataError, match="is damaged"):
        convert(tmp_path / "out", path)
    assert _written(tmp_path / "out") == []


def test_missing_source_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl does not exist"):
        convert(tmp_path / "out", tmp_path / "none.jsonl")


def test_folder_without_files_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no data file"):
        convert(tmp_path / "out", tmp_path / "empty")


@pytest.mark.parametrize("source", [{}, {"path": "a.jsonl", "hub": "b/c"}], ids=str)
def test_source_is_exactly_one_of_path_and_hub(tmp_path, source):
    with pytest.raises(DataError, match="exactly one of 'path' and 'hub'"):
        convert(tmp_path / "out", **source)


def test_lawshift_without_articles_is_an_error(tmp_path):
    with pytest.raises(DataError, match="need the text of the statute's articles"):
        convert_rows(tmp_path, [FORMAT_ROWS["lawshift"][0]])


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "does not exist"), ("{", "is not JSON"), ("[1]", "is no object of article number")],
    ids=str,
)
def test_articles_file_that_is_none_is_an_error(tmp_path, text, message):
    path = tmp_path / "articles.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=rf"articles\.json {message}"):
        convert_rows(tmp_path, [FORMAT_ROWS["lawshift"][0]], articles=str(path))


def _json_rows(path):
    data = path.read_bytes()
    return json.loads(data) if path.suffix == ".json" else list(map(json.loads, data.splitlines()))


@pytest.mark.parametrize(
    ("file", "num_rows"),
    [
        ("instruct/alpaca_en_demo.json", 999),
        ("instruct/glaive_toolcall_en_demo.json", 300),
        ("gsm8k/train.jsonl", 7473),
        ("gsm8k/test.jsonl", 1319),
    ],
)
def test_real_files_convert_without_a_rejected_row(shared_data, tmp_path, file, num_rows):
    rows = _json_rows(shared_data / file)
    assert len(rows) == num_rows
    done = convert(tmp_path, shared_data / file)
    assert done.ledger["rejected"] == {}
    assert [sample.id for sample in done.samples] == [f"d_{n}" for n in range(num_rows)]
    assert not any(sample.meta for sample in done.samples)


def test_real_word_problems_keep_texts_and_answers(shared_data, tmp_path):
    rows = _json_rows(shared_data / "gsm8k" / "test.jsonl")
    for row, sample in zip(
        rows, convert(tmp_path, shared_data / "gsm8k" / "test.jsonl").samples, strict=True
    ):
        assert exchanges(sample) == [("user", row["question"]), ("assistant", row["answer"])]
        answer = row["answer"].rsplit("####", 1)[1].strip().replace(",", "")
        assert sample.reference == {"answer": answer}
        assert float(answer) == int(float(answer))


def test_real_tool_dialogues_keep_every_turn(shared_data, tmp_path):
    rows = _json_rows(shared_data / "instruct" / "glaive_toolcall_en_demo.json")
    path = shared_data / "instruct" / "glaive_toolcall_en_demo.json"
    for row, sample in zip(rows, convert(tmp_path, path).samples, strict=True):
        has_tools = bool(json.loads(row["tools"]))
        turns = sample.messages[1:] if has_tools else sample.messages
        assert (sample.messages[0].role == "system") == has_tools
        assert not has_tools or sample.messages[0].content.endswith(row["tools"])
        assert len(turns) == len(row["conversations"])
        for turn, message in zip(row["conversations"], turns, strict=True):
            is_call = turn["from"] == "function_call"
            wanted = f"<tool_call>\n{turn['value']}\n</tool_call>" if is_call else turn["value"]
            assert message.content == wanted


@pytest.mark.parametrize("file", ["dialogue/mt_bench_questions.jsonl", "lawshift/labels.csv"])
def test_real_files_that_are_no_training_rows_are_refused(shared_data, tmp_path, file):
    with pytest.raises(DataError, match="the rows are of no known format"):
        convert(tmp_path, shared_data / file)


def _script(folder, *words):
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / "workflow_scripts" / "convert_dataset.py"),
            *("--samples", "samples.jsonl", "--ledger", "ledger.json"),
            *("--rejected", "out.jsonl", "--legal-prompt", str(LEGAL_PROMPT)),
            *words,
        ],
        cwd=folder,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")},
    )


def test_script_converts_and_exits_0(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(to_jsonl([*ALPACA, {"instruction": 5}]))
    done = _script(tmp_path, "--path", "a.jsonl", "--dataset", "alpaca")
    assert done.returncode == 0, done.stderr
    assert "alpaca: format alpaca" in done.stderr
    assert "47 rows in, 46 kept, 1 rejected (wrong_type 1)" in done.stderr
    assert read_ledger(tmp_path / "ledger.json") == {
        "step": "convert_dataset",
        "dataset": "alpaca",
        "rows_in": 47,
        "rows_kept": 46,
        "rejected": {"wrong_type": 1},
    }
    assert len(list(read_samples(tmp_path / "samples.jsonl"))) == 46
    assert len(entries(tmp_path / "out.jsonl")) == 1


def test_script_that_rejects_too_much_exits_1_and_keeps_the_rejected(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(to_jsonl([GOOD] * 4 + [{"prompt": "p"}]))
    words = ["--path", "a.jsonl", "--dataset", "d", "--kept-on-failure", "kept.jsonl"]
    done = _script(tmp_path, *words)
    assert done.returncode == 1
    assert done.stderr.endswith(
        "DataError: 1 of 5 rows (20%) cannot be used: missing_field 1\n  in a.jsonl\n"
        "  Expected: at most 10% (data.max_rejected_share)\n"
        "  Hint: the rejected rows with their reasons: kept.jsonl\n"
    )
    assert _written(tmp_path) == ["a.jsonl", "kept.jsonl"]
    again = _script(tmp_path, *words, "--max-rejected-share", "0.2")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--path", "none.jsonl"], "DataError: none.jsonl does not exist\n"),
        (["--hub", "nobody/nothing"], "DataError: dataset 'nobody/nothing' could not be loaded: "),
        ([], "DataError: a dataset comes from exactly one of 'path' and 'hub'\n"),
    ],
    ids=["path", "hub", "neither"],
)
def test_script_without_a_source_exits_1_without_a_traceback(tmp_path, words, message):
    done = _script(tmp_path, *words, "--dataset", "d")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "samples.jsonl").exists()


def test_script_reads_a_dataset_in_the_hubs_layout(tmp_path):
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "train.jsonl").write_bytes(to_jsonl(ALPACA))
    done = _script(tmp_path, "--hub", str(folder), "--dataset", "d")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "samples.jsonl").read_bytes() == convert_rows(tmp_path / "b", ALPACA).bytes


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


def test_nan_of_a_row_is_nothing(tmp_path):
    source = tmp_path / "source.jsonl"
    source.write_bytes(b'{"prompt": "a", "completion": "b", "note": NaN, "more": {"x": NaN}}\n')
    (sample,) = convert(tmp_path / "out", source).samples
    assert sample.meta in ({"more": {}}, {"more": {"x": None}})

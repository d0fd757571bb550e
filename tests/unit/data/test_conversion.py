"""From any source to canonical samples: each format, each container, texts and ids."""

import datetime
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_bytes import to_csv, to_parquet
from sources_for_tests import (
    ALPACA,
    COMPRESSIONS,
    CONTAINERS,
    FORMAT_ROWS,
    GOOD,
    STRANGE,
    convert,
    convert_rows,
    exchanges,
    to_json,
    to_jsonl,
)

from sluice.records import Sample, write_samples


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


def test_parquet_dates_are_kept_in_meta(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(to_parquet([GOOD | {"day": datetime.date(2026, 1, 2)}]))
    assert convert(tmp_path / "out", path).samples[0].meta == {"day": "2026-01-02"}


def test_nan_of_a_row_is_nothing(tmp_path):
    source = tmp_path / "source.jsonl"
    source.write_bytes(b'{"prompt": "a", "completion": "b", "note": NaN, "more": {"x": NaN}}\n')
    (sample,) = convert(tmp_path / "out", source).samples
    assert sample.meta in ({"more": {}}, {"more": {"x": None}})

"""Rows of files, folders and hub datasets, in every container."""

import datetime
import gzip
import json
import logging
import random
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_bytes import to_gz, to_parquet, to_zst
from sources_for_tests import COMPRESSIONS, CONTAINERS, read, to_jsonl

from sluice import sources
from sluice.errors import DataError
from sluice.sources import read_hub, read_source

ROWS = [
    {"prompt": "one", "completion": "eins"},
    {"prompt": 'two\nlines, "quoted" and a comma', "completion": "zwei\r\nZeilen"},
    {"prompt": "a\u2028b\x00c", "completion": "🙃 中文\ufeff"},
]


def _write(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _values(path):
    return [value for _, value, _ in read(path)]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_rows(tmp_path, name, compression):
    data = COMPRESSIONS[compression](CONTAINERS[name](ROWS))
    assert _values(_write(tmp_path, name + compression, data)) == ROWS


def test_ending_in_capitals_is_the_same_ending(tmp_path):
    assert _values(_write(tmp_path, "ROWS.JSONL.GZ", to_gz(to_jsonl(ROWS)))) == ROWS


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_byte_order_mark_at_the_start_is_dropped(tmp_path, suffix):
    path = _write(tmp_path, f"rows{suffix}", b"\xef\xbb\xbf" + CONTAINERS[f"rows{suffix}"](ROWS))
    assert _values(path) == ROWS


def test_json_object_is_one_row(tmp_path):
    assert read(_write(tmp_path, "one.json", b'{"a": 1}')) == [("one.json item 1", {"a": 1}, None)]


def test_places_count_from_one(tmp_path):
    table = {
        "rows.jsonl": ["line 1", "line 2", "line 3"],
        "rows.json": ["item 1", "item 2", "item 3"],
        "rows.parquet": ["row 1", "row 2", "row 3"],
    }
    for name, places in table.items():
        path = _write(tmp_path, name, CONTAINERS[name](ROWS))
        assert [where for where, _, _ in read(path)] == [f"{name} {place}" for place in places]


def test_blank_lines_are_counted_but_are_no_rows(tmp_path):
    path = _write(tmp_path, "rows.jsonl", b'\n{"a": 1}\r\n \t\r\n\n{"a": 2}')
    assert read(path) == [
        ("rows.jsonl line 2", {"a": 1}, None),
        ("rows.jsonl line 5", {"a": 2}, None),
    ]


def test_csv_place_is_the_line_on_which_a_row_ends(tmp_path):
    path = _write(tmp_path, "rows.csv", b'prompt,completion\n"a\nb",c\n\nd,e\n')
    assert read(path) == [
        ("rows.csv line 3", {"prompt": "a\nb", "completion": "c"}, None),
        ("rows.csv line 5", {"prompt": "d", "completion": "e"}, None),
    ]


def test_folder_is_read_in_the_order_of_names(tmp_path):
    _write(tmp_path, "b.jsonl", to_jsonl(ROWS[1:2]))
    _write(tmp_path, "c/a.json.gz", to_gz(to_jsonl(ROWS[2:])))
    _write(tmp_path, "a.parquet", to_parquet(ROWS[:1]))
    assert [(where, value) for where, value, _ in read(tmp_path)] == [
        ("a.parquet row 1", ROWS[0]),
        ("b.jsonl line 1", ROWS[1]),
        ("c/a.json.gz item 1", ROWS[2]),
    ]


def test_hidden_files_and_folders_are_left_out(tmp_path):
    _write(tmp_path, "a.jsonl", to_jsonl(ROWS))
    _write(tmp_path, ".b.jsonl", to_jsonl(ROWS))
    _write(tmp_path, ".ipynb_checkpoints/a.jsonl", to_jsonl(ROWS))
    assert _values(tmp_path) == ROWS


def test_folder_below_a_hidden_one_is_read(tmp_path):
    _write(tmp_path, ".cache/data/a.jsonl", to_jsonl(ROWS))
    assert _values(tmp_path / ".cache" / "data") == ROWS


def test_other_files_of_a_folder_are_named_in_the_log(tmp_path, caplog):
    _write(tmp_path, "a.jsonl", to_jsonl(ROWS))
    _write(tmp_path, "README.md", b"# Read me")
    with caplog.at_level(logging.WARNING):
        assert _values(tmp_path) == ROWS
    assert [record.message for record in caplog.records] == [
        f"{tmp_path}: 1 files are no data: README.md"
    ]


def test_missing_file_is_an_error_that_names_the_nearest(tmp_path):
    _write(tmp_path, "alpaca.jsonl", b"")
    with pytest.raises(DataError, match=r"alpaka\.jsonl does not exist") as caught:
        read(tmp_path / "alpaka.jsonl")
    assert caught.value.hint == "did you mean 'alpaca.jsonl'?"


def test_missing_folder_is_an_error_without_a_hint(tmp_path):
    with pytest.raises(DataError, match="does not exist") as caught:
        read(tmp_path / "none" / "alpaca.jsonl")
    assert caught.value.hint is None


def test_file_of_no_known_kind_is_an_error(tmp_path):
    path = _write(tmp_path, "rows.xlsx.gz", b"")
    with pytest.raises(DataError, match="is of no known kind") as caught:
        read(path)
    assert caught.value.expected.startswith(".jsonl, .ndjson, .json, .csv, .parquet; each may end")


@pytest.mark.parametrize("names", [[], ["README.md"], [".hidden.jsonl"]], ids=str)
def test_folder_without_data_files_is_an_error(tmp_path, names):
    for name in names:
        _write(tmp_path, name, b"{}")
    with pytest.raises(DataError, match="holds no data file"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.jsonl.gz", "a.jsonl.zst"])
def test_empty_file_holds_no_row(tmp_path, name):
    empty = COMPRESSIONS[name.removeprefix("a.jsonl").removeprefix("a.csv")](b"")
    assert read(_write(tmp_path, name, empty)) == []


def test_line_that_is_no_json_is_named_and_the_next_one_is_read(tmp_path):
    path = _write(tmp_path, "rows.jsonl", b'{"a": 1}\n{"a": \n{"a": 3}\n')
    assert read(path) == [
        ("rows.jsonl line 1", {"a": 1}, None),
        ("rows.jsonl line 2", None, "bad_json"),
        ("rows.jsonl line 3", {"a": 3}, None),
    ]
    assert [row.raw for row in read_source(path)] == ["", '{"a": ', ""]


def test_line_that_is_no_utf8_is_named_and_the_next_one_is_read(tmp_path):
    path = _write(tmp_path, "rows.jsonl", b'{"a": "\xff"}\n{"a": 2}\n')
    assert [problem for _, _, problem in read(path)] == ["bad_utf8", None]
    assert next(read_source(path)).raw == '{"a": "\\xff"}'


def test_line_that_is_nested_too_deep_is_no_json(tmp_path):
    path = _write(tmp_path, "rows.jsonl", b"[" * 100_000 + b"\n{}\n")
    assert [(value, problem) for _, value, problem in read(path)] == [
        (None, "bad_json"),
        ({}, None),
    ]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_line_longer_than_the_limit_is_skipped_whole(tmp_path, monkeypatch, compression):
    monkeypatch.setattr(sources, "MAX_LINE_BYTES", 20)
    lines = [b'{"a": 1}', b'{"a": 23456789012}', b'{"a": "%s"}' % (b"x" * 500), b'{"a": 4}']
    assert [len(line) for line in lines] == [8, 18, 509, 8]
    data = COMPRESSIONS[compression](b"\n".join(lines))
    assert read(_write(tmp_path, f"a.jsonl{compression}", data)) == [
        (f"a.jsonl{compression} line 1", {"a": 1}, None),
        (f"a.jsonl{compression} line 2", {"a": 23456789012}, None),
        (f"a.jsonl{compression} line 3", None, "line_too_long"),
        (f"a.jsonl{compression} line 4", {"a": 4}, None),
    ]


def test_line_longer_than_the_limit_may_be_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_LINE_BYTES", 20)
    path = _write(tmp_path, "a.jsonl", b'{"a": 1}\n' + b"x" * 100)
    assert [problem for _, _, problem in read(path)] == [None, "line_too_long"]


@pytest.mark.parametrize(
    ("data", "problem"), [(b"", "bad_json"), (b'{"a"', "bad_json"), (b'{"a": "\xff"}', "bad_utf8")]
)
def test_json_object_that_cannot_be_read_is_one_bad_row(tmp_path, data, problem):
    assert read(_write(tmp_path, "a.json", data)) == [("a.json whole file", None, problem)]


def test_long_unreadable_text_is_shortened(tmp_path):
    (row,) = read_source(_write(tmp_path, "a.jsonl", b"x" * 10_000))
    assert row.raw == "x" * 2000


@pytest.mark.parametrize("line", [b"only one", b"one,two,three"])
def test_csv_row_with_another_number_of_columns_is_named(tmp_path, line):
    path = _write(tmp_path, "a.csv", b"prompt,completion\na,b\n" + line + b"\nc,d\n")
    assert [(where, problem) for where, _, problem in read(path)] == [
        ("a.csv line 2", None),
        ("a.csv line 3", "bad_csv"),
        ("a.csv line 4", None),
    ]
    texts = list(json.loads(list(read_source(path))[1].raw).values())
    assert texts in (["only one", None], ["one", "two", ["three"]])


def test_csv_quote_that_is_never_closed_does_not_swallow_the_rest_unseen(tmp_path):
    path = _write(tmp_path, "a.csv", b'prompt,completion\na,b\nc,"d\n' + b"e,f\n" * 50)
    with pytest.raises(DataError, match=r"a\.csv is damaged: after line 2: unexpected end of data"):
        read(path)


def test_csv_bytes_that_are_no_utf8_come_as_half_surrogates(tmp_path):
    path = _write(tmp_path, "a.csv", b"prompt,completion\na\xff,b\nc,d\n")
    assert _values(path)[0] == {"prompt": "a\udcff", "completion": "b"}


def _incompressible_lines():
    rng = random.Random(1)
    return to_jsonl({"a": rng.random()} for _ in range(20_000))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.jsonl.zst"])
def test_truncated_compressed_file_is_an_error(tmp_path, name):
    data = COMPRESSIONS[name[-3:] if name.endswith(".gz") else ".zst"](_incompressible_lines())
    path = _write(tmp_path, name, data[: len(data) // 2])
    with pytest.raises(DataError, match="is damaged: ") as caught:
        read(path)
    assert caught.value.hint == "download or make it again; nothing was written"


def test_truncated_file_is_an_error_within_an_overlong_line_too(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_LINE_BYTES", 20)
    rng = random.Random(1)
    data = to_gz(b"".join(b"%d" % rng.getrandbits(60) for _ in range(100_000)))
    with pytest.raises(DataError, match="is damaged: "):
        read(_write(tmp_path, "a.jsonl.gz", data[: len(data) // 2]))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_file_that_is_not_compressed_is_an_error(tmp_path, suffix):
    path = _write(tmp_path, f"a.jsonl{suffix}", to_jsonl(ROWS))
    with pytest.raises(DataError, match="is damaged: "):
        read(path)


def test_gzip_with_broken_blocks_is_an_error(tmp_path):
    data = bytearray(to_gz(_incompressible_lines()))
    data[10] = 0b111  # a last block of the reserved type 3: zlib.error, which is no OSError
    with pytest.raises(DataError, match=r"is damaged: .*invalid block type"):
        read(_write(tmp_path, "a.jsonl.gz", bytes(data)))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_files_put_one_after_another_are_read_to_the_end(tmp_path, suffix):
    data = b"".join(COMPRESSIONS[suffix](to_jsonl([row])) for row in ROWS)
    assert _values(_write(tmp_path, f"a.jsonl{suffix}", data)) == ROWS


@pytest.mark.parametrize("name", ["a.parquet", "a.parquet.gz", "a.parquet.zst"])
@pytest.mark.parametrize("data", [b"", b"PAR1", to_parquet(ROWS)[:-20]], ids=["none", "few", "cut"])
def test_damaged_parquet_is_an_error(tmp_path, name, data):
    data = COMPRESSIONS[name.removeprefix("a.parquet")](data)
    with pytest.raises(DataError, match="is damaged: "):
        read(_write(tmp_path, name, data))


def test_parquet_dates_and_decimals_become_text(tmp_path):
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    row = {"when": [moment], "day": datetime.date(2026, 1, 2), "price": {"eur": Decimal("1.50")}}
    path = _write(tmp_path, "a.parquet", to_parquet([row]))
    assert _values(path) == [
        {"when": ["2026-01-02T03:04:05+00:00"], "day": "2026-01-02", "price": {"eur": "1.50"}}
    ]


def test_parquet_row_that_is_no_utf8_is_named_and_the_others_are_read(tmp_path):
    cells = [b"fine", b"\xff\xfe", b"fine too"]
    offsets = pa.array([0, 4, 6, 14], pa.int32()).buffers()[1]
    texts = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"".join(cells))])
    pq.write_table(pa.table({"a": texts}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [
        ("a.parquet row 1", {"a": "fine"}, None),
        ("a.parquet row 2", None, "bad_utf8"),
        ("a.parquet row 3", {"a": "fine too"}, None),
    ]


def test_rows_are_streamed(tmp_path):
    path = _write(tmp_path, "a.jsonl.gz", gzip.compress(_incompressible_lines())[:-200])
    first = next(read_source(path))
    assert first.where == "a.jsonl.gz line 1"
    assert list(first.value) == ["a"]


def test_zst_rows_are_streamed(tmp_path):
    path = _write(tmp_path, "a.jsonl.zst", to_zst(_incompressible_lines() * 20)[:-200])
    assert next(read_source(path)).where == "a.jsonl.zst line 1"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """No network, and a cache of the test's own."""
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def _hub(name, *, revision=None, subset=None, split="train"):
    return list(read_hub(str(name), revision=revision, subset=subset, split=split))


@pytest.fixture
def layout(tmp_path):
    """A dataset in the hub's layout: two configurations, one with a test split."""
    folder = tmp_path / "dataset"
    _write(folder, "main/train.jsonl", to_jsonl(ROWS))
    _write(folder, "main/test.jsonl", to_jsonl(ROWS[:1]))
    _write(folder, "other/train.jsonl", to_jsonl(ROWS[1:]))
    card = """---
configs:
- config_name: main
  default: true
  data_files:
  - {split: train, path: main/train.jsonl}
  - {split: test, path: main/test.jsonl}
- config_name: other
  data_files:
  - {split: train, path: other/train.jsonl}
---
"""
    _write(folder, "README.md", card.encode())
    return folder


def test_hub_layout_gives_rows_of_split_and_subset(hub_cache, layout):
    rows = _hub(layout)
    assert [row.value for row in rows] == ROWS
    assert [row.where for row in rows] == ["row 1", "row 2", "row 3"]
    assert [row.value for row in _hub(layout, split="test")] == ROWS[:1]
    assert [row.value for row in _hub(layout, subset="other")] == ROWS[1:]


@pytest.mark.parametrize("wrong", [{"split": "validation"}, {"subset": "none"}], ids=str)
def test_unknown_split_or_subset_is_an_error(hub_cache, layout, wrong):
    with pytest.raises(DataError, match=r"could not be loaded: .") as caught:
        _hub(layout, **wrong)
    asked = {"split": "train", "subset": "default"} | wrong
    assert caught.value.expected == (
        f"subset {asked['subset']}, split {asked['split']}, revision main"
    )


def test_hub_dataset_offline_is_an_error_with_a_hint(hub_cache):
    with pytest.raises(DataError, match=r"dataset 'nobody/nothing' could not be loaded: .") as got:
        _hub("nobody/nothing", revision="abc", subset="main")
    assert got.value.expected == "subset main, split train, revision abc"
    assert got.value.hint.startswith("offline (HF_HUB_OFFLINE=1) only downloaded datasets work")
    assert "\n" not in got.value.what

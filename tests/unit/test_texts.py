"""Documents of every kind of text source, lazily, capped, with errors that name file and line."""

import gzip
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice import texts
from sluice.errors import DataError
from sluice.texts import read_documents

TEXTS = ["One, two.\r\n\u2028three", "合计：24", "🙃"]
DIALOGUE = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Ho!"}]


def _jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _read(*paths, **limits):
    return [document.text for document in read_documents(paths, **limits)]


def _write(path, kind):
    rows = [{"text": text, "url": "x"} for text in TEXTS]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "json":
        path.write_text(json.dumps(rows))
    else:
        _jsonl(path, rows)


@pytest.mark.parametrize("kind", ["jsonl", "ndjson", "json", "parquet"])
def test_rows_of_every_kind_give_their_texts(tmp_path, kind):
    path = tmp_path / f"some.{kind}"
    _write(path, kind)
    assert _read(path) == TEXTS


def test_compressed_files_give_the_same(tmp_path):
    data = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(data))
    with pa.output_stream(str(tmp_path / "b.jsonl.zst"), compression="zstd") as stream:
        stream.write(data)
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"whole\nfile"))
    assert _read(tmp_path) == [*TEXTS, *TEXTS, "whole\nfile"]


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    for number, text in enumerate(TEXTS):
        (tmp_path / f"{number}.txt").write_bytes(text.encode())
    (tmp_path / "readme.md").write_text("no text of ours")
    assert _read(tmp_path) == TEXTS
    assert _read(tmp_path / "2.txt", tmp_path / "0.txt") == [TEXTS[2], TEXTS[0]]


def test_a_dialogue_has_its_messages_and_their_contents_as_text(tmp_path):
    path = _jsonl(tmp_path / "d.jsonl", [{"messages": DIALOGUE, "dataset": "d", "id": "d_0"}])
    (document,) = read_documents([path])
    assert document.text == "Hi?\n\nHo!"
    assert document.pieces == ("user", "Hi?", "assistant", "Ho!")


def test_max_chars_is_the_number_of_characters_in_all(tmp_path):
    path = _jsonl(tmp_path / "a.jsonl", [{"text": "abcd"}, {"text": "合计二十四"}, {"text": "x"}])
    assert _read(path, max_chars=6) == ["abcd", "合计"]
    assert _read(path, max_chars=9) == ["abcd", "合计二十四"]
    assert _read(path, max_chars=4) == ["abcd"]


def test_doc_cap_cuts_each_document(tmp_path):
    path = _jsonl(tmp_path / "a.jsonl", [{"text": "abcd"}, {"text": ""}, {"text": "xy"}])
    assert _read(path, doc_cap=3) == ["abc", "xy"]
    assert _read(path, doc_cap=3, max_chars=4) == ["abc", "x"]


def test_a_cut_dialogue_loses_its_last_messages(tmp_path):
    path = _jsonl(tmp_path / "d.jsonl", [{"messages": DIALOGUE}])
    assert [d.pieces for d in read_documents([path], doc_cap=4)] == [
        ("user", "Hi?", "assistant", "H")
    ]
    assert [d.pieces for d in read_documents([path], doc_cap=3)] == [("user", "Hi?")]


def test_what_lies_behind_max_chars_is_never_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\nbroken\n')
    assert _read(path, max_chars=4) == ["good"]


def test_a_long_plain_text_is_cut_at_line_ends_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "_PIECE_CHARS", 50)
    monkeypatch.setattr(texts, "_BLOCK_BYTES", 7)  # falls into the middle of characters
    whole = "".join(f"Zeile {n} ü 合\r\n" for n in range(30)) + "🙃" * 120 + "\nend"
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + whole.encode())
    documents = list(read_documents([path]))
    assert "".join(document.text for document in documents) == whole
    assert all(len(document.text) <= 50 for document in documents)
    assert documents[1].text.startswith("Zeile")
    assert documents[1].where == f"{path} line {1 + documents[0].text.count(chr(10))}"


def test_reading_holds_a_row_group_not_the_file(tmp_path):
    path = tmp_path / "big.parquet"
    schema = pa.schema([("text", pa.string()), ("url", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, 40_000, 500):
            rows = [f"{start + n} " * 250 for n in range(500)]
            writer.write_table(pa.table({"text": rows, "url": rows}, schema=schema))
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    tracemalloc.start()
    total = most = 0
    for document in read_documents([path]):
        total += len(document.text)
        most = max(most, pool.bytes_allocated() - before)
    peak = tracemalloc.get_traced_memory()[1] + most
    tracemalloc.stop()
    assert total > 50e6
    assert peak < 10e6


BAD = {
    "no json": (b'{"text": "a"}\n{"text": \n', "bad_json", "line 2"),
    "no UTF-8": (b'{"text": "a"}\n\n{"text": "\xff"}\n', "bad_utf8", "line 3"),
    "no text": (b'{"text": "a"}\n{"txt": "b"}\n', "holds no text", "line 2"),
    "no object": (b'"a"\n', "holds no text", "line 1"),
    "a number": (b'{"text": 3}\n', "holds no text", "line 1"),
    "no role": (b'{"messages": [{"content": "b"}]}\n', "messages.0.role", "line 1"),
    "half a character": (b'{"text": "\\ud83d"}\n', "surrogate", "line 1"),
}


@pytest.mark.parametrize(("data", "what", "line"), BAD.values(), ids=BAD)
def test_a_bad_row_is_an_error_with_file_and_line(tmp_path, data, what, line):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        _read(path)
    assert what in caught.value.what
    assert caught.value.where == f"{path} {line}"


def test_plain_text_that_is_no_utf8_is_an_error_with_its_line(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes("eins\nzwei ü\n".encode() + b"drei \xe4\n")
    with pytest.raises(DataError, match="not UTF-8") as caught:
        _read(path)
    assert caught.value.where == f"{path} line 3"


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "cut.txt.gz"
    path.write_bytes(gzip.compress(b"text " * 10_000)[:-20])
    with pytest.raises(DataError, match="damaged"):
        _read(path)


@pytest.mark.parametrize("name", ["missing.jsonl", "table.csv"])
def test_a_missing_file_and_an_unknown_kind_are_errors(tmp_path, name):
    (tmp_path / "table.csv").write_text("text\na\n")
    with pytest.raises(DataError):
        _read(tmp_path / name)

"""Canonical samples, and lines that end at a newline and nowhere else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import DataError
from sluice.records import (
    Sample,
    iterate_lines,
    locate_samples,
    read_sample_at,
    read_samples,
    write_samples,
)


def _sample(content, **fields):
    messages = ({"role": "user", "content": content}, {"role": "assistant", "content": "yes"})
    return Sample(messages=messages, dataset="d", id=fields.pop("id", "d_1"), **fields)


STRANGE = [
    "a\u2028b\u2029c",
    "nul\x00byte",
    "one\r\ntwo\rthree\n",
    "🙃 中文\ufeff",
    "\x85\x0b\x0c\x1c",
]


@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_strange_characters_survive_writing_and_reading(tmp_path, text):
    path = tmp_path / "samples.jsonl"
    assert write_samples(path, [_sample(text), _sample("next", id="d_2")]) == 2
    assert path.read_bytes().count(b"\n") == 2
    assert [sample.messages[0].content for sample in read_samples(path)] == [text, "next"]


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"])), st.dictionaries(st.text("ab"), st.integers())
)
def test_a_sample_survives_its_line(content, reference):
    sample = _sample(content, reference=reference, group="g", weight=0.25)
    line = sample.to_line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert Sample.model_validate_json(line) == sample


def test_absent_fields_are_left_out_of_the_line():
    assert set(json.loads(_sample("a").to_line())) == {"messages", "dataset", "id"}


def test_blank_lines_are_skipped_but_counted(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes("one\n\n  \r\ntwo\u2028more\r\nlast".encode())
    assert list(iterate_lines(path)) == [(1, b"one"), (4, "two\u2028more".encode()), (5, b"last")]


def test_located_samples_are_read_again_by_their_offset(tmp_path):
    path = tmp_path / "samples.jsonl"
    first, second = _sample("中\u2028文"), _sample("two", id="d_2")
    path.write_bytes(first.to_line() + b"\n \n" + second.to_line())
    located = list(locate_samples(path))
    assert [sample for _, sample in located] == [first, second]
    assert [read_sample_at(path, offset) for offset, _ in located] == [first, second]


@pytest.mark.parametrize("read", [read_samples, locate_samples])
def test_missing_file_is_an_error(tmp_path, read):
    with pytest.raises(DataError, match=r"none\.jsonl does not exist"):
        list(read(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("read", [read_samples, locate_samples])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{", "line: Invalid JSON"),
        (b"\xff\xfe", "line: Invalid JSON"),
        (b'{"dataset": "d", "id": "d_1"}', "messages: Field required"),
        (b'{"messages": [{"role": "bot", "content": "a"}], "dataset": "d", "id": "1"}', "role"),
        (b'{"messages": [], "dataset": "d", "id": "1", "wieght": 1}', "wieght: Extra inputs"),
        (b'{"messages": [], "dataset": "d", "id": "1", "weight": 0}', "weight: Input should be"),
    ],
)
def test_line_that_is_no_sample_is_named(tmp_path, read, line, expected):
    path = tmp_path / "samples.jsonl"
    path.write_bytes(_sample("fine").to_line() + line + b"\n")
    with pytest.raises(DataError, match="line 2 is not a canonical sample") as caught:
        list(read(path))
    assert expected in str(caught.value)
    assert caught.value.where == str(path)


def test_nothing_is_written_when_a_later_sample_fails(tmp_path):
    def samples():
        yield _sample("one")
        raise RuntimeError("source broke")

    with pytest.raises(RuntimeError, match="source broke"):
        write_samples(tmp_path / "samples.jsonl", samples())
    assert list(tmp_path.iterdir()) == []

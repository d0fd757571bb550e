"""A source of which nothing can be used is one error, and nothing is written."""

import pytest
from sources_for_tests import (
    COMPRESSIONS,
    FORMAT_ROWS,
    GOOD,
    GOOD_LINES,
    convert,
    convert_rows,
    to_jsonl,
    written,
)

from sluice.errors import DataError


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
def test_source_that_is_none_is_an_error_and_nothing_iswritten(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        convert(tmp_path / "out", path)
    assert written(tmp_path / "out") == []


def test_damage_far_into_a_file_leaves_nothing_behind(tmp_path):
    data = COMPRESSIONS[".gz"](to_jsonl(GOOD | {"n": n * 7919 % 10007} for n in range(9000)))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(data[:-100])
    with pytest.raises(DataError, match="is damaged"):
        convert(tmp_path / "out", path)
    assert written(tmp_path / "out") == []


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

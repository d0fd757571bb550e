"""A damaged file is refused with one of our errors, or read as a file that could have been meant.

Nothing else may come out of a reader: no other exception, no crash, no hang.
"""

import json

import pytest
from damage import damaged, is_refused, to_json, with_odd_values
from sound_files import READERS

# tokenizers takes a millisecond or more for each of its vocabulary's entries.
_LARGE = {"tokenizer, tokenizer.json", "law book"}
# Every flipped bit of these is noticed: their bytes have a checksum.
_CHECKED = ("router data", "dense router data", "gate weights", "corpus, train.tokens")


@pytest.fixture(params=READERS)
def reader(request):
    return READERS[request.param]


def test_sound_file_is_read(reader, tmp_path):
    path = reader.write(tmp_path)
    assert not is_refused(lambda: reader.read(path))


def test_cut_flipped_or_foreign_bytes_raise_nothing_but_our_errors(reader, tmp_path):
    path = reader.write(tmp_path)
    num_refused = 0
    for what, content in damaged(path.read_bytes()):
        path.write_bytes(content)
        try:
            num_refused += is_refused(lambda: reader.read(path))
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
    # Texts of which each line is a question may hold anything; all else has some form.
    assert num_refused or reader.name == "q.txt"


@pytest.mark.parametrize(
    "name", [name for name, each in READERS.items() if each.name.endswith((".json", ".jsonl", "p"))]
)
def test_value_that_does_not_belong_raises_nothing_but_our_errors(name, tmp_path):
    reader = READERS[name]
    path = reader.write(tmp_path)
    data = path.read_bytes()
    is_one = data.startswith(b"[") or data.count(b"\n{") == 0
    first, *rest = [data] if is_one else data.splitlines(keepends=True)
    for number, document in enumerate(with_odd_values(json.loads(first))):
        if name in _LARGE and number % 40:
            continue
        path.write_bytes(to_json(document) + b"\n" + b"".join(rest))
        try:
            is_refused(lambda: reader.read(path))
        except Exception as error:
            raise AssertionError(f"{to_json(document)[:500]!r}: {error!r}") from error


@pytest.mark.parametrize("name", _CHECKED)
def test_flipped_bit_of_a_checked_file_is_never_taken_for_data(name, tmp_path):
    reader = READERS[name]
    path = reader.write(tmp_path)
    data = path.read_bytes()
    for what, content in damaged(data):
        if what.startswith("flip") and not _is_in_archive_padding(data, content):
            path.write_bytes(content)
            assert is_refused(lambda: reader.read(path)), what


def _is_in_archive_padding(data, changed):
    """torch fills up before each tensor with the letter Z; nobody reads that."""
    place = next(n for n, (old, new) in enumerate(zip(data, changed, strict=True)) if old != new)
    return b"Z" * 3 in data[max(0, place - 3) : place + 4]

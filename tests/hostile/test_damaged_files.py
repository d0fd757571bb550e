"""A damaged file is refused with one of our errors, or read as a file that could have been meant.

Nothing else may come out of a reader: no other exception, no crash, no hang.
"""

import json

import pytest
import torch
from damage import damaged, is_refused, to_json, with_odd_values
from sound_files import READERS

from sluice.errors import DataError
from sluice.tensor_files import read_tensors

# tokenizers takes a millisecond or more for each of its vocabulary's entries.
_LARGE = {"tokenizer, tokenizer.json", "law book"}


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


@pytest.mark.parametrize("name", ["router data", "dense router data", "gate weights"])
def test_flipped_bit_of_a_tensor_file_changes_nothing_or_is_noticed(name, tmp_path):
    path = READERS[name].write(tmp_path)
    data = path.read_bytes()
    expected = torch.load(path, weights_only=True)
    num_refused = 0
    for what, content in damaged(data):
        if not what.startswith("flip"):
            continue
        path.write_bytes(content)
        try:
            found = read_tensors(path, what="a tensor file", expected="one")
        except DataError:
            num_refused += 1
        else:
            # Padding, and times that nobody reads, have no checksum.
            assert list(found) == list(expected), what
            assert all(_is_same(found[key], value) for key, value in expected.items()), what
    assert num_refused


def _is_same(one, other):
    return torch.equal(one, other) if isinstance(other, torch.Tensor) else one == other


@pytest.mark.parametrize("name", ["corpus, train.tokens", "corpus, train.ends"])
def test_flipped_bit_of_a_corpus_is_always_noticed(name, tmp_path):
    reader = READERS[name]
    path = reader.write(tmp_path)
    for what, content in damaged(path.read_bytes()):
        if what.startswith("flip"):
            path.write_bytes(content)
            assert is_refused(lambda: reader.read(path)), what

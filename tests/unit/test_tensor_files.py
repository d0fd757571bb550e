"""What torch.save is asked to write is written whole, or the disk is named."""

import resource

import pytest
import torch

from sluice.disk_errors import explain_disk_error
from sluice.tensor_files import read_tensors, write_tensors


def read(path):
    return read_tensors(path, what="a file of a test", expected="tensors")


@pytest.fixture
def room():
    """Lets no file grow beyond so many bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda num_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_was_written_is_read(tmp_path):
    write_tensors(tmp_path / "a.pt", {"weights": torch.arange(5), "losses": [2.0, 1.5]})
    found = read(tmp_path / "a.pt")
    assert found["weights"].tolist() == [0, 1, 2, 3, 4]
    assert found["losses"] == [2.0, 1.5]


def test_same_tensors_give_the_same_bytes_whatever_the_name(tmp_path):
    for name in ("a.pt", "another.pt"):
        write_tensors(tmp_path / name, {"weights": torch.arange(5)})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another.pt").read_bytes()


@pytest.mark.parametrize("num_bytes", [0, 1_000, 5_000, 40_000])
def test_disk_without_room_is_named_and_the_file_stays_as_it_was(tmp_path, room, num_bytes):
    write_tensors(tmp_path / "a.pt", torch.arange(5))
    room(num_bytes)
    with pytest.raises((OSError, RuntimeError)) as caught:
        write_tensors(tmp_path / "a.pt", [torch.zeros(5_000), torch.zeros(5_000)])
    assert "no room to write" in str(explain_disk_error(caught.value))
    assert read(tmp_path / "a.pt").tolist() == [0, 1, 2, 3, 4]
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]

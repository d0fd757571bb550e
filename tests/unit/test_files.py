"""Files are whole or absent."""

import hashlib
import os
import subprocess

import pytest

from sluice.errors import DataError
from sluice.files import (
    atomic_folder,
    atomic_path,
    copy_file,
    hash_file,
    read_json,
    write_json,
    write_text,
)


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_only_when_the_block_has_ended_well(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("text")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "text"
    assert _names(path.parent) == ["a.txt"]


def test_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["a.txt"]


def test_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "model"
    for name in ("first", "second"):
        with atomic_folder(folder) as temporary:
            (temporary / name).write_text(name)
    assert _names(folder) == ["second"]
    assert _names(tmp_path) == ["model"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_of_a_folder_have_the_rights_that_the_umask_gives(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with atomic_folder(tmp_path / "model") as temporary:
            (temporary / "part").mkdir()
            for name in ("config", "weights", "part/weights"):
                (temporary / name).touch()
            (temporary / "weights").chmod(0o600)
            (temporary / "part/weights").chmod(0o700)
    finally:
        os.umask(before)
    modes = {
        file.relative_to(tmp_path / "model").as_posix(): file.stat().st_mode & 0o777
        for file in (tmp_path / "model").rglob("*")
        if file.is_file()
    }
    assert modes == {"config": mode, "weights": mode, "part/weights": mode | 0o700}


def test_folder_is_not_taken_for_a_file_to_write(tmp_path):
    with pytest.raises(DataError, match="is a folder; the file"):
        write_text(tmp_path, "text")
    assert _names(tmp_path.parent).count(tmp_path.name) == 1
    assert not any(name.endswith(".tmp") for name in _names(tmp_path.parent))


def test_error_leaves_the_old_folder_and_nothing_else(tmp_path):
    folder = tmp_path / "model"
    with atomic_folder(folder) as temporary:
        (temporary / "weights").write_text("old")

    def fail():
        with atomic_folder(folder) as temporary:
            (temporary / "weights").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (folder / "weights").read_text() == "old"
    assert _names(tmp_path) == ["model"]


def test_json_survives_and_is_readable(tmp_path):
    value = {"z": [1, None], "中": "a\u2028b"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "z"')
    assert "中" in text
    assert text.endswith("}\n")


def test_json_refuses_what_is_no_number(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert _names(tmp_path) == []


def test_missing_json_is_an_error(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("data", [b"{", b"\xff", b""])
def test_broken_json_is_an_error(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.json is not JSON"):
        read_json(tmp_path / "a.json")


def test_text_keeps_its_line_ends(tmp_path):
    write_text(tmp_path / "a.txt", "a\r\nb\n中")
    assert (tmp_path / "a.txt").read_bytes() == "a\r\nb\n中".encode()


def test_hash_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert hash_file(tmp_path / "a") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_hash_of_a_folder_changes_with_names_and_bytes_not_with_order(tmp_path):
    hashes = []
    for number, files in enumerate(
        [
            {"a": "1", "s/b": "2"},
            {"s/b": "2", "a": "1"},
            {"a": "2", "s/b": "1"},
            {"a": "1", "b": "2"},
        ]
    ):
        for name, text in files.items():
            path = tmp_path / str(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        hashes.append(hash_file(tmp_path / str(number)))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_copy_has_the_same_bytes_and_a_missing_source_is_an_error(tmp_path):
    (tmp_path / "a").write_bytes(b"\x00\xff")
    copy_file(tmp_path / "a", tmp_path / "new" / "b")
    assert (tmp_path / "new" / "b").read_bytes() == b"\x00\xff"
    with pytest.raises(DataError, match="none does not exist"):
        copy_file(tmp_path / "none", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_what_a_killed_writer_left_goes_with_the_next_write_of_the_same_file(tmp_path):
    done = subprocess.Popen(["true"])
    done.wait()
    dead, alive = f".a[1].json.{done.pid}.tmp", f".a[1].json.{os.getppid()}.tmp"
    for name in (dead, alive, f".b.json.{done.pid}.tmp"):
        (tmp_path / name).touch()
    write_json(tmp_path / "a[1].json", 1)
    left = {file.name for file in tmp_path.iterdir()}
    assert dead not in left
    assert {alive, f".b.json.{done.pid}.tmp", "a[1].json"} <= left

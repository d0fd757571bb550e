"""Files that are either whole or absent: everything is written to a temporary name and renamed."""

import csv
import glob
import hashlib
import io
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sluice.errors import DataError

MAX_JSON_BYTES = 2 * 2**30
"""A JSON document has to be read whole; a larger one is refused unread."""

_HASH_CHUNK_BYTES = 1 << 20
# Settings and task lists have hundreds. References to references make billions of one kilobyte.
_MAX_YAML_VALUES = 1_000_000


def _temporary_sibling(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _remove_leftovers(path: Path) -> None:
    """Removes temporary files of this path whose writers were killed."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        writer = left.name.split(".")[-2]
        if writer.isdigit() and not _is_alive(int(writer)):
            _remove(left)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_no_folder(*paths: Path) -> None:
    """Raises DataError where a folder stands at the name of a file to write.

    A step calls it before its work, which would be lost otherwise.
    """
    for path in paths:
        if path.is_dir():
            raise DataError(
                f"{path} is a folder; the file that is to be written would have its name",
                expected="the name of a file, which is replaced where it is there",
                hint=f"a file in that folder, such as {path / 'output.json'}",
            )


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary file name beside ``path`` that takes its place when the block ends well.

    When the block raises, the temporary file is removed and ``path`` stays as it was.

    Raises:
        DataError: a folder stands there.
    """
    path = Path(path)
    check_no_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = _temporary_sibling(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        _remove(temporary)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Like `atomic_path` for a folder: it is filled under a temporary name, then renamed.

    A folder that is already there is replaced. Its files are as readable as the user's umask says,
    whatever a library made of them: safetensors writes some for their owner only.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = _temporary_sibling(path)
    _remove(temporary)
    temporary.mkdir()
    try:
        yield temporary
        _open_to_readers(temporary)
        _remove(path)
        temporary.replace(path)
    finally:
        _remove(temporary)


def _open_to_readers(folder: Path) -> None:
    """Gives a folder's files the rights that the folder itself was made with, but running them."""
    rights = folder.stat().st_mode & 0o666
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode | rights != mode:
                with suppress(OSError):  # a file system without such rights
                    file.chmod(mode | rights)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def copy_file(source: Path, target: Path) -> None:
    """Copies a file's bytes, whole or not at all.

    Raises:
        DataError: the source is missing.
    """
    try:
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    except FileNotFoundError:
        raise DataError(f"{source} does not exist") from None


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON with a final newline, whole or not at all. NaN is refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        DataError: the file is missing, larger than 2 GiB, or not UTF-8 JSON.
    """
    with _open(path) as stream:
        data = stream.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise DataError(f"{path} is larger than 2 GiB", hint="it is no file of this workflow")
    return parse_json(data, what=str(path))


def parse_json(text: str | bytes, *, what: str) -> Any:
    """The value of a JSON text; NaN and Infinity, which JSON does not know, are refused.

    Args:
        text: the text; bytes are UTF-8.
        what: how an error calls it, such as the file's path.
    Raises:
        DataError: it is not JSON, nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what} is not JSON: {error}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def read_yaml(path: Path) -> Any:
    """Reads a YAML file of plain values; what would make other objects is refused.

    Raises:
        DataError: the file is missing, not UTF-8 YAML, nested too deeply, or its references make
            more than a million values of it.
    """
    import yaml

    text = read_text(path)
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not YAML: {error}") from None
    if holds_too_much(value):
        raise DataError(
            f"{path} holds more than {_MAX_YAML_VALUES:,} values, or one that holds itself"
        )
    return value


def holds_too_much(value: Any) -> bool:
    """Whether there are over a million values in a value, each counted wherever it is referred to.

    YAML's references make such values of little text, also endless ones.
    """
    todo, count = [value], 0
    while todo and count <= _MAX_YAML_VALUES:
        each = todo.pop()
        count += 1
        if isinstance(each, dict):
            todo.extend(each.values())
        elif isinstance(each, list):
            todo.extend(each)
    return count > _MAX_YAML_VALUES


def read_text(path: Path) -> str:
    """Reads a text file.

    Raises:
        DataError: the file is missing or not UTF-8.
    """
    with _open(path) as stream:
        data = stream.read()
    try:
        return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8").read()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error}") from None


def read_csv(path: Path) -> list[dict[str, str]]:
    """Reads a small CSV file with a header; a cell that a line lacks is empty.

    Raises:
        DataError: the file is missing, not UTF-8, or no CSV.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path)), strict=True, restval=""))
    except csv.Error as error:
        raise DataError(f"{path} is not CSV: {error}") from None
    return [{name: cell for name, cell in row.items() if name} for row in rows]


def _open(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a file") from None


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's relative names and bytes, as hex.

    Raises:
        DataError: neither a file nor a folder is there.
    """
    digest = hashlib.sha256()
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist")
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with open(file, "rb") as stream:
            while chunk := stream.read(_HASH_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()

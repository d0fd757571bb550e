"""Rows of any source: JSON, JSONL, CSV, Parquet (also .gz or .zst), a folder of such, or a hub id.

Every row comes with its place. A row that cannot be read comes with the reason instead of a value;
reading goes on behind it.
"""

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from sluice.errors import DataError, shorten_ids
from sluice.hub import limit_hub_waits
from sluice.json_arrays import iterate_items, load_row
from sluice.logs import get_logger
from sluice.records import MAX_LINE_BYTES
from sluice.validation import nearest

logger = get_logger(__name__)

# Parquet inside .gz or .zst has to be unpacked whole.
MAX_UNPACKED_BYTES = 2**30

_SHOWN_CHARS = 2000
_HEAD_BYTES = 2**16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class SourceRow:
    """One row of a source, or what was wrong with it."""

    where: str
    """File and line, row or item, counted from 1."""
    value: Any = None
    problem: str | None = None
    """Why the row could not be read: bad_json, bad_utf8, bad_csv, line_too_long."""
    raw: str = ""
    """The unreadable text, shortened."""


def read_source(path: Path) -> Iterator[SourceRow]:
    """Streams the rows of a file, or of all files of a folder in the order of their names.

    Raises:
        DataError: nothing is there, or nothing that can be read.
    """
    for file in list_files(Path(path), kinds=_READERS):
        prefix = file.relative_to(path).as_posix() if Path(path).is_dir() else file.name
        for row in read_rows(file):
            yield SourceRow(f"{prefix} {row.where}", row.value, row.problem, row.raw)


def read_rows(file: Path, *, columns: Collection[str] | None = None) -> Iterator[SourceRow]:
    """Streams the rows of one file; of Parquet only these columns, where it has them.

    Raises:
        DataError: the file is of no known kind, or damaged.
    """
    reader = _reader(file)
    yield from _read_parquet(file, columns) if reader is _read_parquet else reader(file)


def read_hub(
    name: str, *, revision: str | None, subset: str | None, split: str
) -> Iterator[SourceRow]:
    """Streams the rows of a dataset of the hub, or of a local folder in the hub's layout.

    Raises:
        DataError: the hub cannot be reached, or has no such dataset, subset, split or revision.
    """
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    limit_hub_waits()
    try:
        rows = load_dataset(name, subset, revision=revision, split=split)
    except Exception as error:  # the library raises many kinds, its own and its HTTP client's
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"dataset '{name}' could not be loaded: {reason}",
            expected=f"subset {subset or 'default'}, split {split}, revision {revision or 'main'}",
            hint="offline (HF_HUB_OFFLINE=1) only downloaded datasets work; or give a path",
        ) from None
    for number, row in enumerate(rows, start=1):
        yield SourceRow(f"row {number}", _plain(dict(row)))


def list_files(path: Path, *, kinds: Collection[str]) -> list[Path]:
    """The file itself, or a folder's files of these kinds (``.jsonl``, ...) in order of name.

    Hidden files are left out, files of other kinds too, with a warning. Links to files are
    followed, wherever they lead: caches of the hub are made of them.

    Raises:
        DataError: nothing is there, or no file of these kinds, or a link leads to no file.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        siblings = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{path} does not exist", hint=nearest(path.name, siblings[:200]))
    every = sorted(each for each in path.rglob("*") if not _is_hidden(each.relative_to(path)))
    _check_links(path, every)
    visible = [each for each in every if each.is_file()]
    files = [file for file in visible if file_kind(file) in kinds]
    skipped = [file.name for file in visible if file_kind(file) not in kinds]
    if skipped:
        logger.warning("%s: %d files are no data: %s", path, len(skipped), ", ".join(skipped[:3]))
    if not files:
        raise DataError(f"{path} holds no data file", expected=f"one of {', '.join(kinds)}")
    return files


def _check_links(folder: Path, entries: list[Path]) -> None:
    """Data behind a link that is not followed would be missing unseen."""
    lost = [str(each.relative_to(folder)) for each in entries if each.is_symlink()]
    lost = [name for name in lost if not (folder / name).is_file()]
    if lost:
        raise DataError(
            f"{len(lost)} links lead to no file ({shorten_ids(lost)})",
            where=str(folder),
            hint="links to folders are not followed, since they may lead in circles: put the "
            "folder itself there, or take the link away",
        )


def _is_hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)


def file_kind(file: Path) -> str:
    """The ending that says what a file holds, without .gz and .zst: ``.jsonl``."""
    name = file.name.lower().removesuffix(".gz").removesuffix(".zst")
    return Path(name).suffix


def _reader(file: Path) -> Callable[[Path], Iterator[SourceRow]]:
    kind = file_kind(file)
    if kind not in _READERS:
        raise DataError(
            f"{file} is of no known kind",
            expected=f"{', '.join(_READERS)}; each may end in .gz or .zst too",
        )
    return _READERS[kind]


def open_source(file: Path) -> IO[bytes]:
    """Opens a file for reading, decompressed where its name ends in .gz or .zst."""
    if file.name.lower().endswith(".gz"):
        return io.BufferedReader(gzip.open(file, "rb"))
    if file.name.lower().endswith(".zst"):
        import pyarrow as pa

        # pyarrow refuses a cut file; the zstandard package takes what is there for the whole.
        return io.BufferedReader(pa.input_stream(str(file), compression="zstd"))
    return open(file, "rb")


def damaged_file(file: Path, error: object) -> DataError:
    """The error of a file that cannot be read to its end."""
    return DataError(
        f"{file} is damaged: {error}", hint="download or make it again; nothing was written"
    )


DAMAGE = (EOFError, OSError, zlib.error)
"""What reading a damaged file raises."""


def _read_jsonl(file: Path) -> Iterator[SourceRow]:
    with open_source(file) as stream:
        number = 0
        while line := _read_line(stream, file):
            number += 1
            where = f"line {number}"
            if len(line) > MAX_LINE_BYTES:
                yield SourceRow(where, problem="line_too_long", raw=_shown(line))
                while line and not line.endswith(b"\n"):
                    line = _read_line(stream, file)
                continue
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if line.strip():
                yield _parsed(line, where)


def _read_line(stream: IO[bytes], file: Path) -> bytes:
    try:
        return stream.readline(MAX_LINE_BYTES + 1)
    except DAMAGE as error:
        raise damaged_file(file, error) from None


def _parsed(line: bytes, where: str) -> SourceRow:
    try:
        return SourceRow(where, load_row(line.decode()))
    except UnicodeDecodeError:
        return SourceRow(where, problem="bad_utf8", raw=_shown(line))
    except (ValueError, RecursionError):
        return SourceRow(where, problem="bad_json", raw=_shown(line))


def _read_json(file: Path) -> Iterator[SourceRow]:
    """A JSON array, one object, or (as many files named .json are) JSON Lines."""
    if _begins_as_array(file):
        with open_source(file) as stream:
            number = 0
            try:
                for item in iterate_items(stream, max_bytes=MAX_LINE_BYTES):
                    number += 1
                    yield SourceRow(f"item {number}", item)
            except (ValueError, *DAMAGE) as error:
                # Not one bad row: nobody knows how many rows are behind it.
                raise damaged_file(file, f"after item {number:,}: {error}") from None
        return
    with open_source(file) as stream:
        data = _read_at_most(stream, MAX_LINE_BYTES + 1, file=file)
    if len(data) > MAX_LINE_BYTES:
        yield from _read_jsonl(file)
        return
    try:
        value = load_row(data.removeprefix(_BYTE_ORDER_MARK).decode())
    except (ValueError, RecursionError) as error:
        if b"\n{" not in data.strip():
            yield SourceRow("whole file", problem=_reason(error), raw=_shown(data))
            return
        yield from _read_jsonl(file)
        return
    yield SourceRow("item 1", value)


def _begins_as_array(file: Path) -> bool:
    with open_source(file) as stream:
        head = _read_at_most(stream, _HEAD_BYTES, file=file)
    return head.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"[")


def _read_at_most(stream: IO[bytes], num_bytes: int, *, file: Path) -> bytes:
    try:
        return stream.read(num_bytes)
    except DAMAGE as error:
        raise damaged_file(file, error) from None


def _reason(error: Exception) -> str:
    return "bad_utf8" if isinstance(error, UnicodeDecodeError) else "bad_json"


def _read_csv(file: Path) -> Iterator[SourceRow]:
    csv.field_size_limit(MAX_LINE_BYTES)
    with (
        open_source(file) as stream,
        io.TextIOWrapper(
            stream, encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as text,
    ):
        lines = _Records(text)
        # Not strict, a quote that is never closed would swallow the rest of the file unseen.
        rows = csv.DictReader(lines, strict=True)
        try:
            for row in rows:
                lines.num_chars = 0
                where = f"line {rows.line_num}"
                if None in row or None in row.values():
                    raw = json.dumps(row, ensure_ascii=True, default=str, skipkeys=True)
                    yield SourceRow(where, problem="bad_csv", raw=raw[:_SHOWN_CHARS])
                else:
                    yield SourceRow(where, row)
        except csv.Error as error:
            raise damaged_file(file, f"after line {rows.line_num}: {error}") from None
        except DAMAGE as error:
            raise damaged_file(file, error) from None


class _Records:
    """The lines of a CSV file; an error where those of one record are too long together."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self.num_chars = 0
        """Of the lines since the last record."""

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(MAX_LINE_BYTES + 1):
            self.num_chars += len(line)
            if self.num_chars > MAX_LINE_BYTES:
                raise csv.Error(f"a record is longer than {MAX_LINE_BYTES:,} characters")
            yield line


def _read_parquet(file: Path, columns: Collection[str] | None = None) -> Iterator[SourceRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    is_compressed = file.suffix.lower() in (".gz", ".zst")
    try:
        source = io.BytesIO(_unpacked(file)) if is_compressed else str(file)
        number = 0
        parquet = pq.ParquetFile(source)
        kept = None if columns is None else sorted({*columns} & {*parquet.schema_arrow.names})
        for batch in parquet.iter_batches(batch_size=1000, columns=kept):
            for row in _batch_rows(batch):
                number += 1
                problem = "bad_utf8" if row is None else None
                yield SourceRow(f"row {number}", _plain(row), problem)
    except (pa.ArrowException, *DAMAGE) as error:
        raise damaged_file(file, error) from None


def _unpacked(file: Path) -> bytes:
    with open_source(file) as stream:
        data = stream.read(MAX_UNPACKED_BYTES + 1)
    if len(data) > MAX_UNPACKED_BYTES:
        raise DataError(
            f"{file} is larger than {MAX_UNPACKED_BYTES:,} bytes when it is unpacked",
            hint="unpack it first: Parquet is compressed inside",
        )
    return data


def _batch_rows(batch: Any) -> Iterator[dict[str, Any] | None]:
    """None stands for a row whose text is not UTF-8, which pyarrow finds out only here."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for place in range(batch.num_rows):
            try:
                yield batch.slice(place, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def _plain(value: Any) -> Any:
    """Dates and decimals, which Parquet has and JSON has not, as text; NaN as nothing."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _shown(data: bytes) -> str:
    return data[:_SHOWN_CHARS].decode(errors="backslashreplace").rstrip("\n")


_READERS: dict[str, Callable[[Path], Iterator[SourceRow]]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}

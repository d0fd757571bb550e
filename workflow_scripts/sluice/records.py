r"""The canonical sample, and JSON Lines files of it.

A line ends at ``\n`` and nowhere else: U+2028, NUL and carriage returns inside strings survive.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import PydanticSerializationError

from sluice.errors import DataError
from sluice.files import atomic_path

MAX_LINE_BYTES = 64 * 2**20
"""A longer line of a source is rejected unread: a small compressed file may hold one larger than
memory. Canonical samples are longer than their rows by their names, scores and escapes at most."""
_MAX_SAMPLE_BYTES = 2 * MAX_LINE_BYTES
_MAX_DEPTH = 100

Role = Literal["system", "user", "assistant", "tool"]


class Message(BaseModel):
    """One message of a dialogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    content: str


def check_storable(value: JsonValue) -> None:
    """Makes sure that a value comes back as it is written: JSON has no NaN, and readers an end.

    Not part of every `Sample`, since reading took twice as long with it (100,000 samples in 0.86 s
    instead of 0.45 s, 2026-11-27).

    Raises:
        ValueError: a number in it is not finite, or it is nested more than 100 deep.
    """
    todo: list[tuple[JsonValue, int]] = [(value, 1)]
    while todo:
        each, depth = todo.pop()
        if isinstance(each, float) and not math.isfinite(each):
            raise ValueError(f"{each} is no number of JSON")
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
        if isinstance(each, dict | list):
            inside = each.values() if isinstance(each, dict) else each
            todo.extend((child, depth + 1) for child in inside)


class Sample(BaseModel):
    """One training row, in the one format that every step after `convert_dataset` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    messages: tuple[Message, ...]
    dataset: str
    id: str
    """Unique over all datasets: ``<dataset>_<n>``."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Weight of the sample in the training objective; 1 where absent."""
    group: str | None = None
    """Stratum for splits and for metrics by group."""
    reference: dict[str, JsonValue] | None = None
    """What a grader needs to know the right answer."""
    meta: dict[str, JsonValue] | None = None
    """Anything else the source said about the row."""

    def to_line(self) -> bytes:
        """The sample as one line of JSON, with its final newline; absent fields are left out.

        Raises:
            DataError: a text holds half a surrogate pair, which UTF-8 cannot hold.
        """
        try:
            return self.model_dump_json(exclude_none=True).encode() + b"\n"
        except PydanticSerializationError:
            raise DataError(f"sample '{self.id}' holds half a character") from None


class SelectedSample(Sample):
    """A kept sample: its scores and its rank, 1 for the best."""

    scores: dict[str, float]
    rank: Annotated[int, Field(ge=1)]


def iterate_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields (line number from 1, bytes without the newline) for every line that is not blank.

    Raises:
        DataError: the file is missing, or a line is longer than 128 MiB.
    """
    for number, _, line in _lines(path):
        stripped = line.rstrip(b"\r\n")
        if stripped.strip():
            yield number, stripped


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Number from 1, byte offset, and bytes with the newline, of every line."""
    offset = 0
    try:
        with open(path, "rb") as stream:
            read_line = partial(stream.readline, _MAX_SAMPLE_BYTES + 1)
            for number, line in enumerate(iter(read_line, b""), start=1):
                if len(line) > _MAX_SAMPLE_BYTES:
                    raise DataError(f"line {number:,} is longer than 128 MiB", where=str(path))
                yield number, offset, line
                offset += len(line)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a file") from None


def read_samples(path: Path) -> Iterator[Sample]:
    """Streams the samples of a canonical JSONL file; selected ones keep their scores and ranks.

    Raises:
        DataError: the file is missing or a line is not a canonical sample.
    """
    for number, line in iterate_lines(path):
        yield parse_sample(line, number=number, path=path)


def locate_samples(path: Path) -> Iterator[tuple[int, Sample]]:
    """Like `read_samples`, with the byte offset of each line, for `read_sample_at`."""
    for number, offset, line in _lines(path):
        if line.strip():
            yield offset, parse_sample(line, number=number, path=path)


def read_sample_at(path: Path, offset: int) -> Sample:
    """The sample whose line begins at a byte offset from `locate_samples`."""
    with open(path, "rb") as stream:
        stream.seek(offset)
        return parse_sample(stream.readline(), number=1, path=path)


def parse_sample(line: bytes, *, number: int, path: Path) -> Sample:
    """The sample of one line.

    Raises:
        DataError: the line is not a canonical sample; ``number`` and ``path`` say which line.
    """
    try:
        return Sample.model_validate_json(line)
    except ValidationError as error:
        with contextlib.suppress(ValidationError):
            return SelectedSample.model_validate_json(line)
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "line"
        raise DataError(
            f"line {number:,} is not a canonical sample: {field}: {first['msg']}",
            where=str(path),
            expected='{"messages": [{"role", "content"}, ...], "dataset": str, "id": str}',
            hint="convert the file first: workflow_scripts/convert_dataset.py --help",
        ) from None


def write_samples(path: Path, samples: Iterable[Sample]) -> int:
    """Writes samples as JSONL, whole or not at all, and returns how many."""
    count = 0
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        for sample in samples:
            stream.write(sample.to_line())
            count += 1
    return count

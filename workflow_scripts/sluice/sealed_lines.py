r"""Progress as lines of JSON, each with a checksum, so that what was damaged is made again.

A line is ``<CRC-32 of the JSON, 8 hex digits> <JSON>\n``. A line that was cut off or changed is
none: its entry is as if it had never been made.
"""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sluice.files import atomic_path
from sluice.logs import get_logger

logger = get_logger(__name__)


def seal(entry: dict[str, Any]) -> bytes:
    """The line of an entry, with its final newline."""
    text = json.dumps(entry).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def unseal(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None where the line is cut off or changed."""
    is_whole = line.endswith(b"\n") and line[:9] == b"%08x " % zlib.crc32(line[9:-1])
    return json.loads(line[9:]) if is_whole else None


def read_sealed(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of all whole lines; none of a file that is not there."""
    return (entry for line in _lines(path) if (entry := unseal(line)) is not None)


def recover(path: Path, *, fate: str = "will be made again") -> list[dict[str, Any]]:
    """The entries of all whole lines, and no others left in the file: it can be added to.

    Args:
        path: the file; there need not be one.
        fate: what the warning says of damaged lines.
    """
    lines = list(_lines(path))
    entries = [entry for line in lines if (entry := unseal(line)) is not None]
    if len(entries) < len(lines):
        logger.warning(
            "%s: %d of %d lines are damaged and %s",
            path,
            len(lines) - len(entries),
            len(lines),
            fate,
        )
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"".join(map(seal, entries)))
    return entries


def _lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with open(path, "rb") as stream:
            yield from stream

"""Files of torch.save: written whole, read undamaged and without running anything in them."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from sluice.errors import DataError
from sluice.files import atomic_path
from sluice.logs import get_logger

logger = get_logger(__name__)


def write_tensors(path: Path, values: Any) -> None:
    """Writes tensors, numbers, texts, lists and dicts, whole or not at all.

    To a stream, not to a path: torch writes a path's own name into the archive, and of a full disk
    it says nothing that could be told from another failure.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        torch.save(values, stream)


def read_tensors(path: Path, *, what: str, expected: str, mmap: bool = False) -> Any:
    """What torch.save wrote: tensors, numbers, texts, and lists and dicts of them.

    The checksums of the archive are compared first, which torch does not do: a flipped bit would
    otherwise be another weight. That reads the file once.

    Args:
        path: the file; torch's older format, which has no checksums, is refused.
        what: what the file is not, for the error, such as ``a router data file``.
        expected: what the file should be, for the error.
        mmap: map tensors into memory instead of reading them; for files larger than memory.
    Raises:
        DataError: the file is missing, damaged, or holds anything else, such as code.
    """
    try:
        _check_archive(path)
        return torch.load(path, weights_only=True, map_location="cpu", mmap=mmap)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except Exception as error:  # torch and zipfile raise many kinds for what is no tensor file
        raise DataError(
            f"{path} is not {what}: {(str(error).strip() or repr(error)).splitlines()[0]}",
            expected=expected,
            hint="a file of another tool may hold pickled code, which is never loaded",
        ) from None


def _check_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        # torch.save never compresses; a small file with entries that are could fill the memory.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise zipfile.BadZipFile("it is compressed")
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged} is another")


def read_progress(path: Path, *, mmap: bool = False) -> Any | None:
    """What an interrupted run of ours left; None, with a warning, where it is damaged."""
    try:
        return read_tensors(
            path, what="readable progress", expected="a file of torch.save", mmap=mmap
        )
    except DataError as error:
        logger.warning("%s; what it held is made again", error.what)
        return None

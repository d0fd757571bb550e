"""What a full, read-only or forbidden disk does to a step, said so that the user can mend it."""

import errno
import os
import shutil
from pathlib import Path

from sluice.errors import DiskError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_LEAST_FREE_BYTES = 1 << 20


def explain_disk_error(error: BaseException) -> DiskError | None:
    """The disk's part in an error; None where it has none.

    Libraries wrap what the operating system said in errors of their own, some without the reason:
    causes are followed, and where writing failed for no reason given, the disk is asked.
    """
    for each in _chain(error):
        number, name = _number(each), getattr(each, "filename", None)
        if number in _FULL:
            return _full(name)
        if number in _REFUSED:
            return DiskError(
                f"{name or 'a file'} cannot be read or written: {os.strerror(number)}",
                hint="check who owns the folder, and whether its disk is mounted read-only; then "
                "give the same command again: what is finished stays",
            )
    has_failed_to_write = isinstance(error, OSError) or "writ" in str(error)
    if has_failed_to_write and shutil.disk_usage(_folder_of(None)).free < _LEAST_FREE_BYTES:
        return _full(None)
    return None


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _number(error: BaseException) -> int | None:
    """The operating system's number of what went wrong, even where a library kept only words."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    said = str(error)
    return next((number for number in (*_FULL, *_REFUSED) if os.strerror(number) in said), None)


def _full(name: str | None) -> DiskError:
    free_mb = shutil.disk_usage(_folder_of(name)).free / 1e6
    return DiskError(
        f"no room to write {name or 'a file'}: {free_mb:,.0f} MB are free",
        hint="make room (workflow_scripts/doctor.py says how much a run needs), then give the same "
        "command again: what is finished stays",
    )


def _folder_of(name: str | None) -> Path:
    """The folder of a file, or, where none is known, the one that steps write to."""
    folders = [Path(name).parent] if isinstance(name, str) else []
    return next(folder for folder in (*folders, Path("results"), Path()) if folder.is_dir())

"""What Snakemake noted of every file that it made: ``.snakemake/metadata``, one JSON file each."""

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired

from pydantic import FiniteFloat, TypeAdapter, ValidationError
from typing_extensions import TypedDict

_METADATA = Path(".snakemake/metadata")
# Snakemake splits names that a folder cannot hold; the parts but the last begin with @.
_LONGEST_NAME = 255
_CODE_HASH = re.compile(r"'([0-9a-f]{16})'")
# What Snakemake notes of a job whose software came neither from conda nor an image: MD5 of nothing.
_NO_STACK = hashlib.md5(usedforsecurity=False).hexdigest()


class _Noted(TypedDict):
    """What counts here of Snakemake's note."""

    rule: str
    input: list[str]
    params: list[str]
    shellcmd: str | None
    starttime: FiniteFloat
    endtime: FiniteFloat
    software_stack_hash: NotRequired[str | None]


_NOTED = TypeAdapter(_Noted)


@dataclass(frozen=True)
class RunRecord:
    """How one file came to be."""

    rule: str
    inputs: tuple[str, ...]
    command: str
    code: str | None
    """Hash of the code that ran; None for a rule without one."""
    started_s: float
    """Seconds since 1970."""
    ended_s: float
    is_isolated: bool = False
    """Whether it ran in a conda environment or an image, not in Snakemake's own Python."""


def read_run_record(path: str, *, root: Path = Path()) -> RunRecord | None:
    """What was noted of a file, or None where no rule has made it or the note is damaged.

    Args:
        path: as the rule names it, relative to ``root``.
        root: where Snakemake ran.
    """
    try:
        noted = _NOTED.validate_json(_record_file(path, root=root).read_bytes())
    except (OSError, ValidationError):
        return None
    hashes = [match[1] for each in noted["params"] if (match := _CODE_HASH.fullmatch(each))]
    return RunRecord(
        rule=noted["rule"],
        inputs=tuple(noted["input"]),
        command=noted["shellcmd"] or "",
        code=hashes[0] if hashes else None,
        started_s=noted["starttime"],
        ended_s=noted["endtime"],
        is_isolated=noted.get("software_stack_hash") not in (None, _NO_STACK),
    )


def _record_file(path: str, *, root: Path) -> Path:
    name = urlsafe_b64encode(path.encode()).decode()
    step = _LONGEST_NAME - 1
    *folders, file = [name[start : start + step] for start in range(0, len(name), step)]
    return root.joinpath(_METADATA, *(f"@{folder}" for folder in folders), file)

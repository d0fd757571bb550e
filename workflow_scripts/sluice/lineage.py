"""Where an artifact comes from: every file on the way to it, with hash, command, code and time."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from sluice.errors import DataError
from sluice.files import hash_file, read_json, read_text
from sluice.fingerprint import code_hash
from sluice.packages import installed_version
from sluice.run_records import RunRecord, read_run_record
from sluice.step_notes import StepNote, read_step_note

FORMAT_VERSION = 2

_SCRIPT = re.compile(r"\bworkflow_scripts/(\w+)\.py\b")


class _NotedFile(TypedDict):
    sha256: str | None
    made_by: str | None
    command: str
    code: str | None
    ran_with: str | None
    is_isolated: bool


class _Provenance(TypedDict):
    format_version: Literal[2]
    ran_with: dict[str, StepNote]
    files: dict[str, _NotedFile]


_PROVENANCE = TypeAdapter(_Provenance)


@dataclass(frozen=True)
class FileOrigin:
    """One file of a chain."""

    sha256: str | None
    """Of its bytes, of a folder's names and bytes; None where the file was already gone."""
    made_by: str | None
    """The rule; None for a source."""
    inputs: tuple[str, ...] = ()
    command: str = ""
    code: str | None = None
    """Hash of the code that made it."""
    seconds: float | None = None
    ended: str | None = None
    """When it was ready, ISO 8601, UTC."""
    ran_with: str | None = None
    """Key of what its step ran with; None where that was not noted."""
    is_isolated: bool = False
    """Whether that was a conda environment or an image."""


def follow_records(targets: Sequence[str], *, root: Path = Path()) -> dict[str, RunRecord | None]:
    """What was noted of every file that some artifacts were made from, themselves included.

    Args:
        targets: paths as the rules name them, relative to ``root``.
        root: where Snakemake ran.
    Returns:
        The records by path, in the order of the paths; None of a source.
    """
    records: dict[str, RunRecord | None] = {}
    todo = list(targets)
    while todo:
        path = todo.pop()
        if path not in records:
            record = records[path] = read_run_record(path, root=root)
            todo.extend(record.inputs if record else ())
    return dict(sorted(records.items()))


def trace_origins(targets: Sequence[str], *, root: Path = Path()) -> dict[str, FileOrigin]:
    """Every file that some artifacts were made from, themselves included, by path.

    Args:
        targets: paths as the rules name them, relative to ``root``.
        root: where Snakemake ran.
    Raises:
        DataError: a target is not there.
    """
    missing = [path for path in targets if not (root / path).exists()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(targets)} artifacts are not there (first: {missing[0]})",
            hint="make them first: snakemake --cores all",
        )
    records = follow_records(targets, root=root)
    return {path: _origin(path, record, root=root) for path, record in records.items()}


def _origin(path: str, record: RunRecord | None, *, root: Path) -> FileOrigin:
    file = root / path
    digest = hash_file(file) if file.exists() else None
    if record is None:
        return FileOrigin(digest, None)
    ended = datetime.fromtimestamp(record.ended_s, tz=UTC)
    return FileOrigin(
        sha256=digest,
        made_by=record.rule,
        inputs=record.inputs,
        command=record.command,
        code=record.code,
        seconds=round(record.ended_s - record.started_s, 2),
        ended=ended.isoformat(timespec="seconds"),
        is_isolated=record.is_isolated,
    )


def describe_run(
    targets: Sequence[str],
    *,
    config_files: Sequence[Path],
    seed: int,
    root: Path = Path(),
) -> dict[str, Any]:
    """The content of provenance.json.

    Args:
        targets: the artifacts.
        config_files: what was configured; a checked configuration cannot hold keys or passwords.
            Each file's command line says with which settings it was made.
        seed: the configuration's.
        root: where Snakemake ran.
    Raises:
        DataError: a target or a configuration file is not there.
    """
    notes: dict[str, StepNote] = {}
    files: dict[str, dict[str, Any]] = {}
    for path, origin in trace_origins(targets, root=root).items():
        note = read_step_note(origin.command, root=root)
        key = _key(note) if note else None
        if key and note:
            notes[key] = note
        files[path] = asdict(replace(origin, ran_with=key))
    return {
        "format_version": FORMAT_VERSION,
        "targets": sorted(targets),
        "seed": seed,
        "config": {str(file): read_text(file) for file in config_files},
        "ran_with": dict(sorted(notes.items())),
        "files": files,
    }


def _key(note: StepNote) -> str:
    """A short name of what a step ran with: the same for the same."""
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()[:12]


def find_mismatches(provenance: Mapping[str, Any], *, root: Path = Path()) -> list[str]:
    """What no longer is as it was noted, one line each; empty where all is.

    Args:
        provenance: what `describe_run` made.
        root: where Snakemake ran.
    """
    lines = []
    for path, noted in provenance["files"].items():
        if noted["sha256"] is None:
            continue
        if not (root / path).exists():
            lines.append(f"{path}: is gone")
        elif hash_file(root / path) != noted["sha256"]:
            lines.append(f"{path}: its content changed")
    return [*lines, *_changed_code(provenance), *_changed_packages(provenance)]


def read_provenance(path: Path) -> dict[str, Any]:
    """Reads provenance.json.

    Raises:
        DataError: the file is missing or holds something else.
    """
    values = read_json(path)
    if not isinstance(values, dict) or not _is_provenance(values):
        raise DataError(
            f"{path} is no provenance file of format {FORMAT_VERSION}",
            hint="make it: snakemake --cores 1 results/provenance.json",
        )
    return values


def _is_provenance(values: Mapping[str, Any]) -> bool:
    """Whether what `find_mismatches` looks at has the right form."""
    try:
        _PROVENANCE.validate_python(values, strict=True)
    except ValidationError:
        return False
    return True


def _changed_code(provenance: Mapping[str, Any]) -> list[str]:
    noted = {
        (each["made_by"], match[1], each["code"])
        for each in provenance["files"].values()
        if each["code"] and (match := _SCRIPT.search(each["command"]))
    }
    lines = []
    for rule, script, code in sorted(noted):
        try:
            is_same = code_hash(script) == code
        except FileNotFoundError:
            lines.append(f"rule {rule}: its script {script}.py is gone")
            continue
        if not is_same:
            lines.append(f"rule {rule}: its code changed")
    return lines


def _changed_packages(provenance: Mapping[str, Any]) -> list[str]:
    """Packages of this Python that are not those of the steps that ran in it."""
    keys = {file["ran_with"] for file in provenance["files"].values() if not file["is_isolated"]}
    noted = {
        (name, version)
        for key in keys & provenance["ran_with"].keys()
        for name, version in provenance["ran_with"][key]["packages"].items()
    }
    return [
        f"package {name}: {installed_version(name) or 'not installed'}, was {version}"
        for name, version in sorted(noted)
        if installed_version(name) != version
    ]

"""Where an artifact comes from: every file on the way to it, with hash, command, code and time."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from sluice.errors import DataError
from sluice.files import hash_file, read_json
from sluice.fingerprint import code_hash
from sluice.pins import installed_version
from sluice.run_records import read_run_record

FORMAT_VERSION = 1

_SCRIPT = re.compile(r"\bworkflow_scripts/(\w+)\.py\b")


class _NotedFile(TypedDict):
    sha256: str | None
    made_by: str | None
    command: str
    code: str | None


class _Provenance(TypedDict):
    format_version: Literal[1]
    packages: dict[str, str]
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
    origins: dict[str, FileOrigin] = {}
    todo = list(targets)
    while todo:
        path = todo.pop()
        if path not in origins:
            origins[path] = _origin(path, root=root)
            todo.extend(origins[path].inputs)
    return dict(sorted(origins.items()))


def _origin(path: str, *, root: Path) -> FileOrigin:
    file = root / path
    digest = hash_file(file) if file.exists() else None
    record = read_run_record(path, root=root)
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
    )


def describe_run(
    targets: Sequence[str],
    *,
    config_files: Sequence[Path],
    seed: int,
    packages: Sequence[str],
    root: Path = Path(),
) -> dict[str, Any]:
    """The content of provenance.json.

    Args:
        targets: the artifacts.
        config_files: what was configured; a checked configuration cannot hold keys or passwords.
            Each file's command line says with which settings it was made.
        seed: the configuration's.
        packages: names of the packages whose versions are noted.
        root: where Snakemake ran.
    """
    origins = trace_origins(targets, root=root)
    return {
        "format_version": FORMAT_VERSION,
        "targets": sorted(targets),
        "seed": seed,
        "config": {str(file): file.read_text(encoding="utf-8") for file in config_files},
        "commit": _commit(root),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "num_cpus": os.cpu_count(),
            "python": platform.python_version(),
        },
        "packages": {name: version for name in packages if (version := installed_version(name))},
        "files": {path: asdict(origin) for path, origin in origins.items()},
    }


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
    return [
        f"package {name}: {installed_version(name) or 'not installed'}, was {version}"
        for name, version in provenance["packages"].items()
        if installed_version(name) != version
    ]


def _commit(root: Path) -> str | None:
    """The checkout's commit, with ``-dirty`` where files differ from it; None outside of git."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None

"""Where everything came from: configuration, code, versions, hashes of files."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sluice.files import hash_file
from sluice.lineage import follow_records
from sluice.report.page.section import Section
from sluice.run_records import RunRecord
from sluice.step_notes import StepNote, read_step_note


def provenance_section(
    configuration: Mapping[str, Any],
    files: Sequence[Path],
    *,
    artifacts: Sequence[Path] = (),
    root: Path = Path(),
) -> Section:
    """Configuration, code, versions and hashes as a section.

    Args:
        configuration: what was set.
        files: those whose hashes are shown.
        artifacts: those whose steps are told of, with all steps on the way to them.
        root: where Snakemake ran.
    Raises:
        DataError: a file is missing.
    """
    steps = _steps(map(str, artifacts), root=root)
    content = {
        "configuration": yaml.safe_dump(
            dict(configuration), sort_keys=False, allow_unicode=True, width=90
        ),
        "seed": configuration.get("seed"),
        "code": _code(steps.values()),
        "ran_with": _ran_with(steps, root=root),
        "files": [_described(path) for path in dict.fromkeys(files)],
    }
    return Section("provenance", "Provenance", content)


def _steps(artifacts: Iterable[str], *, root: Path) -> dict[str, RunRecord]:
    """The record of each step on the way to some artifacts, by its command."""
    records = follow_records(list(artifacts), root=root).values()
    return {record.command: record for record in records if record and record.command}


def _code(records: Iterable[RunRecord]) -> list[dict[str, str]]:
    """The hash of the code that each rule ran; more than one where its steps ran different code."""
    found = {(record.rule, record.code) for record in records if record.code}
    return [{"rule": rule, "code": code} for rule, code in sorted(found)]


def _ran_with(commands: Iterable[str], *, root: Path) -> list[dict[str, Any]]:
    """Commit, machine and versions of the steps: equal ones once, those of most steps first.

    Hosts are not told apart: which of its nodes a cluster gave a step says nothing to a reader.
    """
    rows: dict[str, dict[str, Any]] = {}
    counts: Counter[str] = Counter()
    for command in commands:
        row = _row(read_step_note(command, root=root))
        rows[repr(row)] = row
        counts[repr(row)] += 1
    ordered = sorted(rows, key=lambda key: (-counts[key], key))
    return [{**rows[key], "num_steps": counts[key]} for key in ordered]


def _row(note: StepNote | None) -> dict[str, Any]:
    """A row of the table; one without versions stands for steps that noted nothing."""
    if note is None:
        return {"commit": None, "system": "", "versions": {}}
    machine = note["machine"]
    return {
        "commit": note["commit"],
        "system": machine["system"],
        "versions": {"Python": machine["python"], **note["packages"]},
    }


def _described(path: Path) -> dict[str, Any]:
    members = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    digest = hash_file(path)
    size_bytes = sum(member.stat().st_size for member in members)
    return {"path": str(path), "size_bytes": size_bytes, "sha256": digest}

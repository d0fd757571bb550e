"""Why a target would be made anew, in words: a dry-run read beside the notes of earlier runs."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sluice.config import UNTRACKED_NAMES
from sluice.fingerprint import changed_modules
from sluice.planning import ask_snakemake
from sluice.run_records import RunRecord, read_run_record
from sluice.settings.device import ComputeShare
from sluice.step_notes import command_words

_JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):$")
_FIELD = re.compile(r"^    (output|reason|wildcards): (.*)$")
_COMMAND = "Shell command: "
_CODE_CHANGE = re.compile(r"before: '([0-9a-f]{16})' now: '([0-9a-f]{16})'")
_SHOWN_FILES = 3

# How Snakemake begins each reason -> our words; the rest of the reason lists files.
_FILE_REASONS = {
    "Missing output files: ": "not there yet",
    "Incomplete output files: ": "left unfinished by an interrupted run",
    "Updated input files: ": "newer than what was made from them",
}
_PLAIN_REASONS = {
    "Forced execution": "forced by the command line",
    "Set of input files has changed since last execution": "it reads other files than last time",
    "Software environment definition has changed since last execution": (
        "its environment file (envs/) changed"
    ),
}
_FOLLOWS = "Input files updated by another job: "
_PARAMS = "Params have changed since last execution"


@dataclass(frozen=True)
class StaleJob:
    """One job that would run."""

    rule: str
    wildcards: str
    outputs: tuple[str, ...]
    reasons: tuple[str, ...]
    """As Snakemake words them."""
    command: str

    @property
    def only_follows(self) -> bool:
        """Whether it would run only because another job makes what it reads."""
        return all(reason.startswith(_FOLLOWS) for reason in self.reasons)


def find_stale_jobs(targets: Sequence[str], *, options: Sequence[str] = ()) -> list[StaleJob]:
    """The jobs of a dry-run, in the order in which they would run.

    Args:
        targets: files or rules; without any, ``rule all``.
        options: further words of Snakemake's command line, such as ``--configfile own.yaml``.
    Raises:
        SluiceError: Snakemake cannot plan the run; its own message is the hint.
    """
    words = ["--dry-run", "--printshellcmds", *options, "--", *targets]
    return parse_dry_run(ask_snakemake(*words, what="plan this run"))


def parse_dry_run(text: str) -> list[StaleJob]:
    """The jobs in the output of ``snakemake --dry-run --printshellcmds``."""
    jobs: list[dict[str, str]] = []
    for line in text.splitlines():
        if head := _JOB.match(line):
            jobs.append({"rule": head[1]})
        elif jobs and (found := _FIELD.match(line)):
            jobs[-1][found[1]] = found[2]
        elif jobs and line.startswith(_COMMAND):
            jobs[-1]["command"] = line.removeprefix(_COMMAND)
    return [
        StaleJob(
            rule=job["rule"],
            wildcards=job.get("wildcards", ""),
            outputs=tuple(job.get("output", "").split(", ")),
            reasons=_split_reasons(job.get("reason", "")),
            command=job.get("command", ""),
        )
        for job in jobs
        if "output" in job
    ]


def explain(jobs: Sequence[StaleJob], *, records: Mapping[str, RunRecord | None]) -> list[str]:
    """Lines for people: what is stale by itself and why, then what follows from it.

    Args:
        jobs: from `find_stale_jobs`.
        records: file -> what was noted when it was made, for the first output of every job.
    """
    if not jobs:
        return ["Everything is up to date."]
    causes: dict[tuple[str, tuple[str, ...]], list[StaleJob]] = defaultdict(list)
    for job in jobs:
        if not job.only_follows:
            causes[job.rule, _words(job, records.get(job.outputs[0]))].append(job)
    lines = [f"{_count(jobs)} would run.", "", "Stale by itself:"]
    for (rule, words), members in causes.items():
        lines.append(f"  {rule}{_wildcards_of(members)}")
        lines += [f"      {word}" for word in words]
    followers: dict[str, list[StaleJob]] = defaultdict(list)
    for job in jobs:
        if job.only_follows:
            followers[job.rule].append(job)
    if followers:
        lines += ["", "And then, since what they read is made anew:"]
        lines += [f"  {rule}{_wildcards_of(members)}" for rule, members in followers.items()]
    return lines


def records_of(jobs: Iterable[StaleJob], *, root: Path = Path()) -> dict[str, RunRecord | None]:
    """The notes on the first output of every job."""
    return {job.outputs[0]: read_run_record(job.outputs[0], root=root) for job in jobs}


def flag_changes(before: str, now: str) -> list[str]:
    """What differs between the flags of two command lines, as ``--flag old -> new``.

    Flags that make nothing stale are no reason, and are left out. Of a command that is cut off, as
    a dry-run shows one that holds a line break, nothing can be said.
    """
    old_words, new_words = command_words(before), command_words(now)
    if old_words is None or new_words is None:
        return []
    old, new = _flags(old_words), _flags(new_words)
    changes = []
    for flag in [*old, *(flag for flag in new if flag not in old)]:
        if old.get(flag) != new.get(flag) and _is_tracked(flag):
            changes.append(f"{flag} {_shown(old.get(flag))} -> {_shown(new.get(flag))}")
    return changes


def _split_reasons(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("; ") if part.strip())


def _words(job: StaleJob, record: RunRecord | None) -> tuple[str, ...]:
    words: list[str] = []
    for reason in job.reasons:
        for beginning, meaning in _FILE_REASONS.items():
            if reason.startswith(beginning):
                words.append(f"{meaning}: {_some(reason.removeprefix(beginning).split(', '))}")
        if reason.startswith(_PARAMS):
            words += _param_words(job, record, reason)
        words += [meaning for told, meaning in _PLAIN_REASONS.items() if reason == told]
    return tuple(words) or job.reasons


def _param_words(job: StaleJob, record: RunRecord | None, reason: str) -> list[str]:
    words = []
    if record and (changes := flag_changes(record.command, job.command)):
        words.append(f"settings changed: {'; '.join(changes)}")
    if codes := _CODE_CHANGE.search(reason):
        modules = [
            "the script itself" if name == "__main__" else name
            for name in changed_modules(codes[1], codes[2])
        ]
        words.append(f"its code changed{': ' + _some(modules) if modules else ''}")
    return words or ["its settings or its code changed"]


def _flags(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Flag -> its values."""
    flags: dict[str, tuple[str, ...]] = {}
    name = None
    for word in words:
        if word.startswith("--"):
            name = word
            flags[name] = ()
        elif name:
            flags[name] = (*flags[name], word)
    return flags


def _is_tracked(flag: str) -> bool:
    """Whether another value makes a step stale; ``--judge.max-cost``, for one, does not."""
    name = flag.removeprefix("--").rpartition(".")[2].replace("-", "_")
    return name not in UNTRACKED_NAMES and name not in ComputeShare.model_fields


def _shown(values: tuple[str, ...] | None) -> str:
    if values is None:
        return "(default)"
    return " ".join(values) or "(set)"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_FILES
    return ", ".join(names[:_SHOWN_FILES]) + (f" and {more} more" if more > 0 else "")


def _count(jobs: Sequence[StaleJob]) -> str:
    return f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}"


def _wildcards_of(jobs: Sequence[StaleJob]) -> str:
    """The wildcards' values of some jobs of one rule, such as ``  (cases, countries)``."""
    shown = sorted(re.sub(r"(^|, )\w+=", " ", job.wildcards).strip() for job in jobs)
    return f"  ({_some(shown)})" if any(shown) else ""

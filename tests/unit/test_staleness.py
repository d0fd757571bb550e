"""A dry-run's text and the notes of earlier runs become words."""

import pytest

from sluice.run_records import RunRecord
from sluice.staleness import StaleJob, explain, flag_changes, parse_dry_run

CHANGE = (
    "Params have changed since last execution: "
    "Union of exclusive params before and now across all output: "
    "before: '45c992444bfd994c' now: '86baa2fa433aa576'"
)
DRY_RUN = f"""Building DAG of jobs...
Job stats:
job               count
select_samples        2

[Mon Nov 23 21:55:46 2026]
localrule select_samples:
    input: results/scores/a.parquet
    output: results/selected/a.jsonl, results/selected/a.ledger.json
    log: logs/select_samples/a.log
    jobid: 6
    reason: Missing output files: results/selected/a.jsonl; {CHANGE}
    wildcards: dataset=a
    resources: tmpdir=/tmp
Shell command: python s.py --selection-percentage 0.1 --output x > logs/a.log 2>&1

[Mon Nov 23 21:55:46 2026]
rule merge_selected:
    input: results/selected/a.jsonl
    output: results/selected_data.jsonl
    jobid: 5
    reason: Input files updated by another job: results/selected/a.jsonl
Shell command: python m.py

[Mon Nov 23 21:55:46 2026]
rule all:
    input: results/selected_data.jsonl
    jobid: 0
    reason: Input files updated by another job: results/selected_data.jsonl
"""


def record(command, rule="select_samples"):
    return RunRecord(rule, (), command, "45c992444bfd994c", 0.0, 1.0)


def job(reason, *, command="python s.py", wildcards="dataset=a"):
    outputs = ("results/selected/a.jsonl",)
    return StaleJob("select_samples", wildcards, outputs, (reason,), command)


def test_jobs_are_read_from_a_dry_run_and_targets_without_work_are_not():
    first, second = parse_dry_run(DRY_RUN)
    assert (first.rule, first.wildcards) == ("select_samples", "dataset=a")
    assert first.outputs == ("results/selected/a.jsonl", "results/selected/a.ledger.json")
    assert len(first.reasons) == 2
    assert first.command.startswith("python s.py --selection-percentage 0.1")
    assert not first.only_follows
    assert second.only_follows


def test_causes_come_before_what_follows_from_them():
    jobs = parse_dry_run(DRY_RUN)
    old = record("python s.py --output x > logs/a.log 2>&1")
    assert explain(jobs, records={"results/selected/a.jsonl": old}) == [
        "2 jobs would run.",
        "",
        "Stale by itself:",
        "  select_samples  (a)",
        "      not there yet: results/selected/a.jsonl",
        "      settings changed: --selection-percentage (default) -> 0.1",
        "      its code changed",
        "",
        "And then, since what they read is made anew:",
        "  merge_selected",
    ]


def test_nothing_stale_is_said_so():
    assert explain([], records={}) == ["Everything is up to date."]


def test_jobs_of_one_rule_with_one_cause_stand_together():
    names = [f"dataset={name}, shard=0" for name in "dbca"]
    jobs = [job("Forced execution", wildcards=name) for name in names]
    lines = explain(jobs, records={})
    assert lines[3:] == [
        "  select_samples  (a 0, b 0, c 0 and 1 more)",
        "      forced by the command line",
    ]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Updated input files: a.txt, b.txt", "newer than what was made from them: a.txt, b.txt"),
        ("Incomplete output files: a.txt", "left unfinished by an interrupted run: a.txt"),
        (
            "Set of input files has changed since last execution",
            "it reads other files than last time",
        ),
        (
            "Software environment definition has changed since last execution",
            "its environment file (envs/) changed",
        ),
        ("A reason of a later Snakemake", "A reason of a later Snakemake"),
    ],
)
def test_each_reason_has_words(reason, words):
    assert explain([job(reason)], records={})[-1] == f"      {words}"


def test_changed_params_without_a_note_are_still_told():
    lines = explain([job("Params have changed since last execution: x")], records={})
    assert lines[-1] == "      its settings or its code changed"


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        ("s --a 1 --b 2", "s --a 1 --b 3", ["--b 2 -> 3"]),
        ("s --a 1", "s", ["--a 1 -> (default)"]),
        ("s", "s --flag", ["--flag (default) -> (set)"]),
        ("s --a 'x y' z > log 2>&1", "s --a 'x y' > other.log 2>&1", ["--a x y z -> x y"]),
        ("s --a 1", "s --a 1", []),
        ("s --a 'x > y' --b 1 > log", "s --a 'x > y' --b 2 > log", ["--b 1 -> 2"]),
        ("s --a 1 > log", "s --a 2 --b 'cut off", []),
        ("s --judge.max-cost 2 --num-gpus 1 --a 1", "s --num-gpus 0 --a 2", ["--a 1 -> 2"]),
    ],
)
def test_changed_flags_are_named_with_old_and_new_values(before, now, changes):
    assert flag_changes(before, now) == changes

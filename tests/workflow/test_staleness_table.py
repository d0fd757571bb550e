"""docs/staleness.md says what reruns: each row of its tables, done to a run."""

import os
import re
import shlex
import shutil

import pytest
from core_bundles import write_bundle
from recorded_run import CONFIG_FILE, pretend_run
from support import ROOT, clone

from sluice.staleness import find_stale_jobs

_ROW = re.compile(r"^\| ([^|]+) \| `([^`]+)` \|([^|]*)\|$", re.MULTILINE)
BUILT_IN, WHOLE = (
    {match[1]: (match[2], set(re.findall(r"`(\w+)`", match[3]))) for match in _ROW.finditer(part)}
    for part in (ROOT / "docs" / "staleness.md").read_text().split("## A run with everything")
)
TARGETS = (
    "all",
    "results/base/base/core.csv",
    "results/flywheel/turn_1/judge_calibration.png",
)
MORE = {
    "report": {"num_turns": 1},
    "tracking": {"enabled": True},
    "core": {"bundle": "bundle"},
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A clone in which everything seems to have been made, the first turn too."""
    folder = clone(tmp_path_factory.mktemp("recorded") / "sluice")
    write_bundle(folder / "bundle")
    return pretend_run(folder, MORE, TARGETS)


@pytest.fixture
def change():
    """Does what a row says in a folder; files get their bytes and times back after the test."""
    before = {}

    def keep(file):
        status = file.stat()
        before[file] = (file.read_bytes(), (status.st_atime_ns, status.st_mtime_ns))

    def do(how, folder):
        """The options for Snakemake that come of it."""
        kind, _, rest = how.partition(" ")
        if kind == "none":
            return []
        if kind == "option":
            flag, _, value = rest.partition(" ")
            return [flag, value]
        name, _, text = rest.partition(" ")
        file = folder / name
        keep(file)
        if kind == "touch":
            file.touch()
        else:
            assert kind == "append"
            file.write_bytes(before[file][0] + f"{text}\n".encode())
        return []

    yield do
    for file, (content, times) in before.items():
        file.write_bytes(content)
        os.utime(file, ns=times)


def stale_rules(folder, options, targets, monkeypatch):
    """The rules that are stale by themselves."""
    monkeypatch.chdir(folder)
    jobs = find_stale_jobs(targets, options=options)
    return {job.rule for job in jobs if not job.only_follows}


def test_the_tables_have_rows_of_every_kind():
    kinds = {shlex.split(how)[0] for how, _ in BUILT_IN.values()}
    assert kinds == {"none", "option", "touch", "append"}
    touched = {word for how, _ in WHOLE.values() for word in re.findall(r"--config (\w+)=", how)}
    assert touched == {"core", "flywheel", "llm", "report", "tracking"}


@pytest.mark.parametrize("row", BUILT_IN)
def test_exactly_these_rules_are_stale_by_themselves(row, built, change, monkeypatch):
    how, rules = BUILT_IN[row]
    assert stale_rules(built, change(how, built), [], monkeypatch) == rules


@pytest.mark.parametrize("row", WHOLE)
def test_exactly_these_are_in_a_run_with_everything(row, recorded, change, monkeypatch):
    how, rules = WHOLE[row]
    options = ["--configfile", CONFIG_FILE, *change(how, recorded)]
    assert stale_rules(recorded, options, TARGETS, monkeypatch) == rules


def test_what_makes_no_step_of_a_turn_stale_reaches_it_all_the_same(recorded, monkeypatch):
    monkeypatch.chdir(recorded)
    llm = "llm={simulator: {timeout_s: 7}, judge: {max_cost: 8}, evaluator: {max_retries: 9}}"
    expected = {
        "bootstrap_model": ["--server-timeout-s 11.0"],
        "simulate_dialogues": ["--timeout-s 7.0", "--server-timeout-s 11.0"],
        "judge_responses": ["--max-retries 9"],
        "calibrate_judge": ["--judge.max-cost 8.0", "--evaluator.max-retries 9"],
    }
    words = ["--configfile", CONFIG_FILE, "--forcerun", *expected]
    words += ["--config", llm, "flywheel={server_timeout_s: 11}"]
    commands = {}
    for job in find_stale_jobs(TARGETS, options=words):
        commands[job.rule] = commands.get(job.rule, "") + job.command
    for rule, flags in expected.items():
        assert all(flag in commands[rule] for flag in flags), commands[rule]


def test_a_fresh_clone_with_results_and_records_has_nothing_to_do(recorded, tmp_path, monkeypatch):
    folder = clone(tmp_path / "sluice")
    for name in ("results", ".snakemake", "bundle"):
        shutil.copytree(recorded / name, folder / name, symlinks=True)
    shutil.copy2(recorded / CONFIG_FILE, folder)
    options = ["--configfile", CONFIG_FILE]
    assert stale_rules(folder, options, TARGETS, monkeypatch) == set()
    shutil.rmtree(folder / ".snakemake")
    assert "make_demo_data" in stale_rules(folder, options, TARGETS, monkeypatch)

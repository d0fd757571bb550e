"""docs/staleness.md says what reruns: each row of its table, done to the built-in run."""

import json
import os
import re
import shlex

import pytest
import yaml
from support import ROOT, clone, snakemake
from tiny_models import write_tiny_checkpoint

from sluice.staleness import find_stale_jobs

_ROW = re.compile(r"^\| ([^|]+) \| `([^`]+)` \|([^|]*)\|$", re.MULTILINE)
# The first table is about the built-in run, the second about a turn of the flywheel.
_BUILT, _TURN = (ROOT / "docs" / "staleness.md").read_text().split("## The flywheel\n")


def _rows(text):
    return {
        match[1]: (match[2], set(re.findall(r"`(\w+)`", match[3]))) for match in _ROW.finditer(text)
    }


ROWS = _rows(_BUILT)
TURN_ROWS = _rows(_TURN)
TURN_TARGETS = ["results/flywheel/turn_0/judge_calibration.json",
                "results/flywheel/turn_0/heldout/evaluation_results.json"]  # fmt: skip
TURN_RULES = ("bootstrap_model", "simulate_dialogues", "judge_responses", "calibrate_judge")
CASE = "Law: arson 61, theft 18, gang +5.\nCase: Bao, {}, set a barn on fire."


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """A clone in which two dialogues of a tiny model have been held, judged and judged again."""
    folder = clone(tmp_path_factory.mktemp("turned") / "sluice")
    write_tiny_checkpoint(folder / "tiny")
    topics = [{"id": str(n), "topic": "law", "turns": [CASE.format(20 + n)]} for n in range(2)]
    (folder / "topics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in topics))
    wheel = {"model": "tiny", "heldout_topics": ["topics.jsonl"], "exchanges": 1,
             "max_new_tokens": 4}  # fmt: skip
    config = {"models": {"tiny": {"path": "tiny"}}, "flywheel": wheel}
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    snakemake(folder, "--cores", "2", "--configfile", "mine.yaml", "--", *TURN_TARGETS)
    return folder


@pytest.fixture
def change(built):
    """Does what a row says; files get their bytes and times back after the test."""
    before = {}

    def keep(file):
        status = file.stat()
        before[file] = (file.read_bytes(), (status.st_atime_ns, status.st_mtime_ns))

    def do(how):
        """The options for Snakemake that come of it."""
        kind, _, rest = how.partition(" ")
        if kind == "none":
            return []
        if kind == "option":
            flag, _, value = rest.partition(" ")
            return [flag, value]
        name, _, text = rest.partition(" ")
        keep(built / name)
        if kind == "touch":
            (built / name).touch()
        else:
            assert kind == "append"
            (built / name).write_bytes(before[built / name][0] + f"{text}\n".encode())
        return []

    yield do
    for file, (content, times) in before.items():
        file.write_bytes(content)
        os.utime(file, ns=times)


def test_the_table_has_a_row_of_every_kind():
    kinds = {shlex.split(how)[0] for how, _ in ROWS.values()}
    assert kinds == {"none", "option", "touch", "append"}
    assert len(ROWS) >= 20
    assert len(TURN_ROWS) >= 6


@pytest.mark.parametrize("row", ROWS)
def test_exactly_these_rules_are_stale_by_themselves(row, built, change, monkeypatch):
    how, rules = ROWS[row]
    monkeypatch.chdir(built)
    stale = {job.rule for job in find_stale_jobs([], options=change(how)) if not job.only_follows}
    assert stale == rules


def _stale_of_turn(*options):
    jobs = find_stale_jobs(TURN_TARGETS, options=["--configfile", "mine.yaml", *options])
    return [job for job in jobs if not job.only_follows]


@pytest.mark.parametrize("row", TURN_ROWS)
def test_exactly_these_rules_of_a_turn_are_stale_by_themselves(row, turned, monkeypatch):
    how, rules = TURN_ROWS[row]
    kind, flag, value = how.split(" ", 2)
    assert kind == "option"
    monkeypatch.chdir(turned)
    assert {job.rule for job in _stale_of_turn(flag, value)} == rules


def test_what_makes_no_step_of_a_turn_stale_reaches_it_all_the_same(turned, monkeypatch):
    monkeypatch.chdir(turned)
    llm = "llm={simulator: {timeout_s: 7}, judge: {max_cost: 8}, evaluator: {max_retries: 9}}"
    wheel = "flywheel={server_timeout_s: 11}"
    words = ["--forcerun", *TURN_RULES, "--config", llm, wheel]
    commands = {job.rule: job.command for job in _stale_of_turn(*words)}
    expected = {
        "bootstrap_model": ["--server-timeout-s 11.0"],
        "simulate_dialogues": ["--timeout-s 7.0", "--server-timeout-s 11.0"],
        "judge_responses": ["--max-retries 9"],
        "calibrate_judge": ["--judge.max-cost 8.0", "--evaluator.max-retries 9"],
    }
    for rule, flags in expected.items():
        assert all(flag in commands[rule] for flag in flags), commands[rule]

"""With `--sdm conda` every step runs in the environment that its rule names.

Conda itself is pretended: a script that notes its arguments and makes empty environments. One test
asks a real one, where there is one that reaches its channels.
"""

import os
import re
import shutil
import subprocess
from collections import defaultdict

import pytest
import yaml
from plan_jobs import ask_for_plans
from support import ROOT, clone, snakemake

from sluice.planning import ask_snakemake
from sluice.staleness import parse_dry_run

_PRETENDED = """#!/bin/bash
echo "$*" >>"$CONDA_CALLS"
case "$1 $2" in
    --version*) echo "conda 26.9.0" ;;
    "info --json") echo '{"conda_prefix": "'"$CONDA_FOLDER"'", "platform": "linux-64"}' ;;
    "config --get") echo '{"get": {"channel_priority": "strict"}}' ;;
    "env create")
        while [ "$1" != --prefix ]; do shift; done
        mkdir -p "$2/bin" ;;
esac
"""
# What each environment is for; every other rule has the core one.
ENVIRONMENTS = {
    "vllm": {"bootstrap_model_with_vllm", "generate_answers_with_vllm"}
    | {"sample_responses_with_vllm", "simulate_dialogues_with_vllm"},
    "tracking": {"track_results"},
    "train": {"fine_tune", "fine_tune_turn", "merge_adapter", "merge_turn"},
}
VLLM = {
    "tasks": {"cases": {"engine": "vllm"}},
    "suites": {"cases": {"engine": "vllm"}},
    "flywheel": {"server": "vllm"},
    "tracking": {"enabled": True},
    "report": {"num_turns": 1},
}


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The file with a line for each call of the pretended conda."""
    prefix = tmp_path / "conda"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/conda").write_text(_PRETENDED)
    (prefix / "bin/conda").chmod(0o755)
    (prefix / "bin/activate").write_text('echo "activate $1" >>"$CONDA_CALLS"\n')
    monkeypatch.setenv("PATH", str(prefix / "bin"), prepend=":")
    monkeypatch.setenv("CONDA_FOLDER", str(prefix))
    monkeypatch.setenv("CONDA_CALLS", str(tmp_path / "calls.txt"))
    return tmp_path / "calls.txt"


def test_each_rule_names_the_environment_of_its_kind(fresh):
    targets = ["all", "results/merged/rft", "results/flywheel/turn_1/judge_calibration.png"]
    (plan,) = ask_for_plans(fresh, [VLLM], targets)
    rules = defaultdict(set)
    for job in plan.values():
        rules[re.search(r"envs/(\w+)\.yaml$", job["environment"])[1]].add(job["rule"])
    assert {name: rules[name] for name in ENVIRONMENTS} == ENVIRONMENTS
    assert set(rules) == {*ENVIRONMENTS, "core", "report"}
    assert {"write_summary", "write_report", "summarize_turn"} <= rules["report"]
    assert {"make_demo_data", "collect_router_data", "judge_responses"} <= rules["core"]


def test_a_dry_run_asks_for_every_environment_and_makes_none(fresh, calls, tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(VLLM))
    text = snakemake(
        fresh, "-n", "--sdm", "conda", "--configfile", str(tmp_path / "mine.yaml"),
        "--", "all", "results/merged/rft",
    ).stdout  # fmt: skip
    wanted = set(re.findall(r"Conda environment \S*envs/(\w+)\.yaml will be created", text))
    assert wanted == {file.stem for file in (ROOT / "envs").glob("*.yaml")}
    assert "env create" not in calls.read_text()


def test_a_step_runs_in_its_environment_and_is_stale_when_its_file_changes(
    calls, tmp_path, monkeypatch
):
    folder = clone(tmp_path / "sluice")
    words = ("--cores", "1", "--sdm", "conda", "--", "make_demo_data")
    snakemake(folder, *words)
    (created,) = (folder / ".snakemake/conda").glob("*.yaml")
    assert created.read_bytes() == (folder / "envs/core.yaml").read_bytes()
    told = calls.read_text().splitlines()
    assert sum(line.startswith("env create ") for line in told) == 1
    assert told[-1] == f"activate {created.with_suffix('')}"
    assert (folder / "results/demo/numbers.jsonl").is_file()

    monkeypatch.chdir(folder)

    def stale():
        options = ("--dry-run", "--printshellcmds", "--sdm", "conda", "--", "make_demo_data")
        return [job.rule for job in parse_dry_run(ask_snakemake(*options, what="plan"))]

    assert stale() == []
    with open("envs/report.yaml", "a") as file:
        file.write("# A remark.\n")
    assert stale() == []
    with open("envs/core.yaml", "a") as file:
        file.write("# A remark.\n")
    assert stale() == ["make_demo_data"]


def test_a_real_conda_makes_the_core_environment(tmp_path):
    """The one test that knows whether the file can be solved; it takes minutes."""
    command = shutil.which("conda")
    if command is None:
        pytest.skip("no conda on the PATH: envs/core.yaml was not built")
    environment = {**os.environ, "CONDA_REMOTE_CONNECT_TIMEOUT_SECS": "10"}
    channels = yaml.safe_load((ROOT / "envs/core.yaml").read_text())["channels"]
    search = [command, "search", "--override-channels", "--channel", channels[0], "python=3.11"]
    found = subprocess.run(search, env=environment, capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"conda does not reach {channels[0]}: envs/core.yaml was not built")
    folder = clone(tmp_path / "sluice")
    snakemake(folder, "--cores", "1", "--sdm", "conda", "--", "make_demo_data")
    assert (folder / "results/demo/numbers.jsonl").is_file()
    (made,) = (folder / ".snakemake/conda").glob("*_/bin/python")
    subprocess.run([made, "-c", "import torch, transformers"], check=True)

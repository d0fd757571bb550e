"""The README says what is so: its commands run, its picture and its file tree are the project's."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import ROOT, snakemake

from sluice.rule_graph import rule_edges

README = (ROOT / "README.md").read_text()


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [body for name, body in found if name == language]


COMMANDS = [
    line.split("   #")[0].strip() for block in blocks("bash") for line in block.splitlines() if line
]


@pytest.fixture(scope="module")
def with_venv(built):
    """The built clone, with the environment that runs these tests as its .venv."""
    folder = built / ".venv"
    if not folder.exists():
        (folder / "bin").mkdir(parents=True)
        for tool in Path(sys.executable).parent.iterdir():
            (folder / "bin" / tool.name).symlink_to(tool)
        (folder / "installed").touch()
    return built


@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs_after_make_demo(with_venv, command):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        shlex.split(command),
        cwd=with_venv,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_readme_names_commands():
    assert "make demo" in COMMANDS
    assert len(COMMANDS) >= 5


def test_own_data_example_is_a_legal_configuration(fresh, tmp_path):
    (example,) = [block for block in blocks("yaml") if block.startswith("# mine.yaml")]
    values = yaml.safe_load(example)
    values["datasets"]["alpaca"]["path"] = str(tmp_path / "alpaca.json")
    (tmp_path / "alpaca.json").write_text("[]")
    text = _dry_run(fresh, values, "results/selected_data.jsonl", folder=tmp_path)
    assert "rule merge_selected:" in text
    assert "rule train_base_model:" not in text
    assert "rule make_demo_data:" not in text


def test_rejection_sampling_example_is_a_legal_configuration(fresh, tmp_path):
    (example,) = [block for block in blocks("yaml") if block.startswith("# math.yaml")]
    target = "results/comparison/qwen_vs_own_answers/summary.md"
    text = _dry_run(fresh, yaml.safe_load(example), target, folder=tmp_path)
    for rule in ("convert_dataset", "sample_responses_with_vllm", "fine_tune", "compare_models"):
        assert f"rule {rule}:" in text
    assert "rule make_demo_data:" not in text


def _dry_run(clone, values, target, *, folder):
    mine = folder / "mine.yaml"
    mine.write_text(yaml.safe_dump(values))
    return snakemake(clone, "-n", target, "--configfile", str(mine)).stdout


def test_rule_graph_is_the_workflows(fresh):
    (picture,) = blocks("mermaid")
    drawn = re.findall(r"^\s*(\w+) --> (\w+)$", picture, re.MULTILINE)
    text = snakemake(fresh, "--rulegraph", "mermaid-js").stdout
    assert drawn == rule_edges(text), "make docs draws it anew"
    assert len(drawn) > 15


def test_file_tree_names_what_is_there():
    (tree,) = [block for block in blocks("") if "workflow_scripts/" in block]
    names = [line.split()[0] for line in tree.splitlines() if line.strip()]
    missing = [name for name in names if not (ROOT / name).exists()]
    assert len(names) > 10
    assert not missing

"""README and guide say what is so: commands run, examples plan what they say, picture and tree."""

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
GUIDE = (ROOT / "docs/guide.md").read_text()


def blocks(language, text=README):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
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


# Name of a guide's example, the first word of its comment, without ending -> what it says.
GUIDE_EXAMPLES = {
    each.split()[1].rstrip(",").removesuffix(".yaml"): each for each in blocks("yaml", GUIDE)
}
# Examples that go together; targets; rules that make them.
GUIDE_PLANS = [
    (
        "own_answers",
        "results/sampled/math/accepted.jsonl",
        "convert_dataset drop_overlap split_dataset sample_responses",
    ),
    (
        "own_answers adapter",
        "results/adapters/own_answers/loss_curve.png results/merged/own_answers",
        "sample_responses fine_tune merge_adapter plot_loss_curve",
    ),
    (
        "own_answers adapter suite",
        "results/comparison/qwen_vs_own_answers/summary.md",
        "fine_tune generate_answers grade_answers compare_models",
    ),
    (
        "lawshift",
        "results/evaluation/qwen7/law.lawshift.md",
        "convert_lawshift generate_answers_with_vllm grade_answers evaluate_lawshift",
    ),
    (
        "judges",
        "results/flywheel/turn_0/heldout/evaluation_results.json",
        "bootstrap_model simulate_dialogues judge_responses",
    ),
    (
        "web",
        "results/tokenizer/web/evaluation.csv results/base/gpt2/loss.json",
        "train_tokenizer evaluate_tokenizer evaluate_base_loss",
    ),
    (
        "base",
        "results/base/mine/loss_curve.png",
        "train_tokenizer tokenize_corpus train_base_model plot_base_loss_curve",
    ),
    ("tracking", "all", "track_results"),
]
# Of these examples nothing is built in: their models and data are others.
WITHOUT_DEMO = {"own_answers", "lawshift", "web", "base"}


@pytest.mark.parametrize(("names", "targets", "rules"), GUIDE_PLANS)
def test_example_of_the_guide_plans_what_it_says(fresh, tmp_path, names, targets, rules):
    for file in ("shards/a.jsonl", "heldout.jsonl", "LawShift/term_up/original.json"):
        (tmp_path / "data" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / file).write_text("")
    files = [tmp_path / f"{name}.yaml" for name in names.split()]
    for file in files:
        values = _with_data_in(tmp_path, yaml.safe_load(GUIDE_EXAMPLES[file.stem]))
        file.write_text(yaml.safe_dump(values))
    words = ("-n", *targets.split(), "--configfile", *map(str, files))
    planned = set(re.findall(r"^rule (\w+):$", snakemake(fresh, *words).stdout, re.MULTILINE))
    assert set(rules.split()) <= planned
    if WITHOUT_DEMO & set(names.split()):
        assert "make_demo_data" not in planned


@pytest.mark.parametrize("text", [README, GUIDE], ids=["README", "guide"])
def test_commands_of_examples_with_vllm_bring_its_environment(text):
    """The command that stands behind an example, and names its file."""
    examples = [each for each in blocks("yaml", text) if "engine: vllm" in each]
    assert examples
    for example in examples:
        name = example.split()[1].rstrip(",")
        (command,) = [each for each in blocks("", text) if name in each and "snakemake" in each]
        assert "--sdm conda --configfile" in command


def test_every_example_of_the_guide_is_tried():
    assert {name for names, *_ in GUIDE_PLANS for name in names.split()} == set(GUIDE_EXAMPLES)


def _with_data_in(folder, value):
    """An example's values, with what lies in data/ taken from a folder that is there."""
    if isinstance(value, dict):
        return {key: _with_data_in(folder, each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_data_in(folder, each) for each in value]
    is_data = isinstance(value, str) and value.startswith("data/")
    return str(folder / value) if is_data else value


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

"""Every rule is complete, and rule, script and code hash carry one name."""

import re

import pytest
from support import ROOT

from sluice.config import ENTRY_SETTINGS, NESTED_RULES, RULE_SETTINGS, load_config
from sluice.config_checks import made_samples
from sluice.settings.base import untracked_names

RULE_FILES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
_RULE = re.compile(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_REQUIRED = ("output", "log", "benchmark", "conda", "threads", "resources", "retries", "params")


def _rules():
    for file in RULE_FILES:
        for name, body in _RULE.findall(file.read_text()):
            if name != "all":  # a target without work
                yield pytest.param(name, body, id=name)


ALL_RULES = list(_rules())


def test_the_workflow_has_rules():
    assert len(ALL_RULES) >= 12


@pytest.mark.parametrize(("name", "body"), ALL_RULES)
def test_rule_has_every_directive(name, body):
    missing = [word for word in _REQUIRED if not re.search(rf"^    {word}:", body, re.MULTILINE)]
    assert not missing
    assert body.lstrip().startswith('"""'), "a docstring comes first"


@pytest.mark.parametrize(("name", "body"), ALL_RULES)
def test_rule_runs_the_script_of_its_name_and_hashes_its_code(name, body):
    assert f"python workflow_scripts/{name}.py" in body
    assert (ROOT / "workflow_scripts" / f"{name}.py").is_file()
    assert f'code=code("{name}")' in body


WITH_UNTRACKED = {
    rule
    for rules in (RULE_SETTINGS, *ENTRY_SETTINGS.values())
    for rule, model in rules.items()
    if untracked_names(model)
}.union(*NESTED_RULES["llm"].values())


@pytest.mark.parametrize(("name", "body"), ALL_RULES)
def test_rule_hands_on_the_settings_that_make_it_not_stale(name, body):
    is_given = "untracked=" in body and "{params.untracked}" in body
    assert is_given is (name in WITH_UNTRACKED)


@pytest.mark.parametrize(("name", "body"), ALL_RULES)
def test_rule_asks_for_memory_and_time(name, body):
    assert re.search(r"mem_mb=\d+", body)
    assert re.search(r"runtime=\d+", body)


@pytest.mark.parametrize(("name", "body"), ALL_RULES)
def test_rule_hides_no_logic(name, body):
    for directive in ("run", "message", "script", "cache"):
        assert not re.search(rf"^    {directive}:", body, re.MULTILINE)
    assert "lambda" not in body
    assert not re.search(r"[\"'] \+ | \+ [\"']", body), "a path is glued"


@pytest.mark.parametrize(("name", "body"), ALL_RULES)
def test_environment_of_a_rule_is_a_file_here(name, body):
    (environment,) = re.findall(r"conda:\s+\"\.\./(envs/[\w.-]+)\"", body)
    assert (ROOT / environment).is_file()


@pytest.mark.parametrize("file", RULE_FILES, ids=lambda file: file.name)
def test_rule_file_is_short_and_opens_with_what_it_needs_and_makes(file):
    text = file.read_text()
    assert len(text.splitlines()) <= 150
    if file.name != "Snakefile":
        head = text.split('"""')[1]
        assert "REQUIRED INPUTS" in head
        assert "OUTPUTS" in head


@pytest.mark.parametrize(
    "script", sorted((ROOT / "workflow_scripts").glob("*.py")), ids=lambda script: script.name
)
def test_script_is_thin(script):
    assert len(script.read_text().splitlines()) <= 60


# Outputs in JSON Lines that hold other things than canonical samples.
_NO_SAMPLES = re.compile(r"rejected|completions|answers|topics|items|results/evaluation/")


def test_samples_that_configurations_may_name_are_those_that_rules_make():
    config = load_config(
        {
            "datasets": {"DATASET": {"path": "x"}},
            "models": {"base": {"build": "base"}},
            "tasks": {"TASK": {"model": "base", "prompts": "x"}},
            "suites": {"SUITE": {"lawshift": "x", "grader": "lawshift"}},
        }
    )
    known = {
        re.sub("DATASET|TASK|SUITE", lambda found: f"{{{found[0].lower()}}}", path)
        for path in made_samples(config)
    }
    outputs = {
        path
        for case in ALL_RULES
        for block in re.findall(r"^    output:\n((?: {8}.*\n)+)", case.values[1], re.MULTILINE)
        for path in re.findall(r'"(results/[^"]+\.jsonl)"', block)
    }
    turns = "results/flywheel/turn_{turn}/sft_train.jsonl"
    assert known | {turns} == {path for path in outputs if not _NO_SAMPLES.search(path)}

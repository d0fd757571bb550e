"""What a Snakemake user types works, and a wrong configuration is one message."""

import json

import pytest
from support import snakemake

from sluice.doctor import plan_run


def test_dry_run_of_a_fresh_clone_plans_every_stage(fresh):
    text = snakemake(fresh, "-n", "results/selected_data.jsonl").stdout
    for rule in ("train_base_model", "warm_up_gate", "score_samples", "merge_selected"):
        assert f"rule {rule}:" in text


def test_doctor_plans_what_is_wanted_and_says_why_it_cannot_be(fresh, monkeypatch):
    monkeypatch.chdir(fresh)
    plan, found = plan_run(["results/flywheel/turn_1/summary.json"])
    assert found.is_ok
    assert "rule fine_tune_turn:" in plan
    plan, found = plan_run(["results/no_such.json"])
    assert (plan, found.is_ok) == ("", False)
    assert found.hint.startswith("snakemake: MissingRuleException")
    assert "results/no_such.json" in found.hint


def test_list_shows_each_rule_with_its_docstring(fresh):
    text = snakemake(fresh, "--list").stdout
    assert "select_samples" in text
    assert "Keep the best samples" in text


def test_rulegraph_is_drawn_as_mermaid(fresh):
    text = snakemake(fresh, "--rulegraph", "mermaid-js").stdout
    assert "flowchart" in text
    assert "select_samples" in text


def test_a_configfile_of_ones_own_is_merged_over_the_built_in_one(fresh, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("selection: {selection_percentage: 0.5}\n")
    text = snakemake(
        fresh, "-n", "-p", "results/selected_data.jsonl", "--configfile", str(mine)
    ).stdout
    assert "--selection-percentage 0.5" in text


WRONG = {
    "unknown key": (
        {"selection": {"selection_percent": 0.1}},
        ["unknown key 'selection.selection_percent'", "did you mean 'selection_percentage'?"],
    ),
    "unknown section": ({"selction": {}}, ["unknown key 'selction'", "did you mean 'selection'?"]),
    "wrong type": (
        {"data": {"num_samples": "many"}},
        ["'data.num_samples' is 'many'", "valid integer"],
    ),
    "out of range": (
        {"selection": {"selection_percentage": 0}},
        ["'selection.selection_percentage' is 0", "greater than 0"],
    ),
    "undefined model": (
        {"gate": {"model": "bass"}},
        ["'gate.model' is 'bass', which 'models' does not define", "did you mean 'base'?"],
    ),
    "model without a source": (
        {"models": {"big": {"trust_remote_code": False}}},
        ["'models.big' has neither of 'path' and 'build'"],
    ),
    "dataset without a source": (
        {"datasets": {"mine": {"format": "alpaca"}}},
        ["'datasets.mine' has neither of 'path' and 'hub'"],
    ),
    "misspelt samples": (
        {"adapters": {"rft": {"samples": ["results/sampled/case/accepted.jsonl"]}}},
        [
            "names 'results/sampled/case/accepted.jsonl', which no rule makes",
            "did you mean 'results/sampled/cases/accepted.jsonl'?",
        ],
    ),
    "name with a slash": ({"datasets": {"../up": {"path": "x"}}}, ["../up"]),
}


@pytest.mark.parametrize(("values", "expected"), WRONG.values(), ids=WRONG)
def test_wrong_configuration_is_one_message_that_names_key_and_file(
    fresh, tmp_path, values, expected
):
    mine = tmp_path / "mine.yaml"
    mine.write_text(json.dumps(values))
    text = snakemake(fresh, "-n", "--configfile", str(mine), is_ok=False).stdout
    assert "ConfigError: " in text
    for words in (*expected, "mine.yaml"):
        assert words in text
    assert "Traceback" not in text
    assert len(text.splitlines()) <= 8

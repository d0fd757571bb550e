"""Suites in config.yaml: what is refused, and which script gets which setting."""

import pytest
import yaml
from support import ROOT

from sluice.config import load_config, suite_settings
from sluice.config_checks import check_local_sources
from sluice.errors import ConfigError, GradingError
from sluice.records import Sample, write_samples
from sluice.settings.evaluation import GenerateAnswers, GradeAnswers

MINIMAL = {"datasets": {"d": {"path": "results/d.jsonl"}}, "models": {"base": {"build": "base"}}}


def _load(**suite):
    return load_config({**MINIMAL, "suites": {"s": suite}})


@pytest.mark.parametrize(
    ("suite", "what"),
    [
        ({}, "'suites.s' has neither of 'samples' and 'lawshift'"),
        ({"samples": "x", "lawshift": "y"}, "'suites.s' has both of 'samples' and 'lawshift'"),
        ({"lawshift": "y"}, "'suites.s.grader' is 'exact'"),
        ({"samples": "x", "grader": "lawshift"}, "'suites.s.grader' is 'lawshift'"),
        ({"samples": "x", "num_samples": 4}, r"'suites\.s\.num_samples' is 4 at temperature 0"),
        (
            {"samples": "x", "engine": "openai", "precision": "float32"},
            "'suites.s.precision' is 'float32', and the engine is openai",
        ),
        ({"samples": "x", "precision": "fp32"}, "'suites.s.precision' is 'fp32'"),
        ({"samples": "x", "grader": "exactly"}, "'suites.s.grader' is 'exactly'"),
        ({"sample": "x"}, "unknown key 'suites.s.sample'"),
    ],
)
def test_suite_that_makes_no_sense_is_refused(suite, what):
    with pytest.raises(ConfigError, match=what):
        _load(**suite)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (
            {"suites": {"a.answers": {"samples": "x"}}},
            "the name 'a.answers' in 'suites' is illegal",
        ),
        ({"models": {"a_vs_b": {"build": "base"}}}, "the name 'a_vs_b' in 'models' holds '_vs_'"),
    ],
)
def test_name_that_would_make_two_artifacts_one_is_refused(values, what):
    with pytest.raises(ConfigError, match=what):
        load_config(
            {**MINIMAL, "gate": {"model": next(iter(values.get("models", {"base": 0})))}, **values}
        )


def test_precision_of_a_servers_task_is_refused():
    task = {"model": "base", "prompts": "results/d.jsonl", "engine": "openai"}
    load_config({**MINIMAL, "tasks": {"t": {**task, "precision": "auto"}}})
    with pytest.raises(ConfigError, match=r"'tasks\.t\.precision' is 'bfloat16'"):
        load_config({**MINIMAL, "tasks": {"t": {**task, "precision": "bfloat16"}}})


def test_several_completions_of_a_task_that_draws_nothing_are_refused():
    task = {"model": "base", "prompts": "results/d.jsonl", "temperature": 0}
    load_config({**MINIMAL, "tasks": {"t": {**task, "num_samples": 1}}})
    with pytest.raises(ConfigError, match=r"'tasks\.t\.num_samples' is 8 at temperature 0"):
        load_config({**MINIMAL, "tasks": {"t": task}})


def test_mistake_is_laid_to_the_file(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**MINIMAL, "suites": {"s": {}}}))
    values = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    with pytest.raises(ConfigError) as caught:
        load_config(values, files=[tmp_path / "mine.yaml"])
    assert caught.value.where == str(tmp_path / "mine.yaml")


def test_samples_that_are_not_there_are_named_before_anything_runs():
    check_local_sources(_load(samples="results/data/d/test.jsonl"))
    with pytest.raises(ConfigError, match=r"'suites\.s\.samples' is 'no/such\.jsonl'"):
        check_local_sources(_load(samples="no/such.jsonl"))
    with pytest.raises(ConfigError, match=r"'suites\.s\.lawshift' is 'no/such'"):
        check_local_sources(_load(lawshift="no/such", grader="lawshift"))


def test_references_that_the_grader_cannot_use_are_named_before_anything_is_answered(tmp_path):
    file = tmp_path / "heldout.jsonl"
    question = [{"role": "user", "content": "1 + 1?"}]
    references = [{"answer": "2"}, {"answer": "two"}]
    samples = [
        Sample(messages=question, dataset="d", id=f"d_{n}", reference=reference)
        for n, reference in enumerate(references)
    ]
    write_samples(file, samples)
    check_local_sources(_load(samples=str(file)))
    with pytest.raises(GradingError, match=r"'suites\.s' cannot grade the sample 'd_1'") as caught:
        check_local_sources(_load(samples=str(file), grader="number"))
    assert caught.value.where == str(file)
    write_samples(file, [Sample(messages=question, dataset="d", id="d_0")])
    with pytest.raises(GradingError, match="cannot grade the sample 'd_0'"):
        check_local_sources(_load(samples=str(file)))


def test_each_script_gets_its_part_of_a_suite_and_the_seed():
    config = load_config(
        {
            **MINIMAL,
            "seed": 7,
            "suites": {
                "s": {
                    "samples": "x",
                    "grader": "label",
                    "labels": ["a", "b"],
                    "batch_size": 4,
                    "precision": "float32",
                    "num_samples": 3,
                    "temperature": 0.5,
                }
            },
        }
    )
    assert suite_settings("generate_answers", "s", config) == GenerateAnswers(
        seed=7, batch_size=4, precision="float32", num_samples=3, temperature=0.5
    )
    assert suite_settings("grade_answers", "s", config) == GradeAnswers(
        seed=7, grader="label", labels=("a", "b")
    )


def test_built_in_suite_is_greedy_on_held_out_cases():
    config = load_config(yaml.safe_load((ROOT / "config.yaml").read_text()))
    suite = config.suites["cases"]
    assert suite.samples == "results/demo/heldout_cases.jsonl"
    assert (suite.temperature, suite.num_samples, suite.grader) == (0, 1, "exact")
    assert suite.samples in config.data.evaluation_texts

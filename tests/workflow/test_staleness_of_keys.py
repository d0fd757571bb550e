"""Every key of the configuration makes exactly the rules stale that it is declared for.

docs/staleness.md shows a sample by dry-runs. Here each of some 280 keys gets another value, and
what Snakemake compares with the record of an earlier run (params and inputs) is compared.
"""

from typing import Any

import pytest
import yaml
from config_keys import all_keys, declared_rules, other_value, with_value
from core_bundles import write_bundle
from plan_jobs import ask_for_plans
from support import ROOT, clone

from sluice.config import ENTRY_SETTINGS, RULE_SETTINGS, load_config
from sluice.config_files import merge
from sluice.fingerprint import code_hash
from sluice.records import Message, Sample, write_samples

TARGETS = (
    "all",
    "results/base/base/core.csv",
    "results/base/base/loss_curve.png",
    "results/merged/rft",
    "results/flywheel/turn_1/judge_calibration.png",
)
# The page and the runs of MLflow hold the whole configuration.
ALWAYS = {"write_report", "track_results"}
BUILT = {"train_tokenizer", "train_base_model"}
MEASURED = {"evaluate_tokenizer", "evaluate_base_loss", "write_provenance"}
JUDGED = {"judge_responses", "calibrate_judge"}

# Keys that reach rules as files, or say which jobs there are -> the rules that have them so.
WIRED = {
    "adapters.rft.model": {
        *BUILT,
        *MEASURED,
        *("fine_tune", "merge_adapter", "generate_answers", "grade_answers", "compare_models"),
    },
    "adapters.rft.samples": {"fine_tune"},
    "base.text": {"tokenize_corpus", "train_base_model"},
    "base_loss.heldout_text": {"evaluate_base_loss"},
    "base_loss.prompts": {"evaluate_base_loss"},
    "base_loss.train_text": {"evaluate_base_loss"},
    "flywheel.compare_prompt": {"calibrate_judge"},
    "flywheel.heldout_topics": {"simulate_dialogues", "prepare_sft_data"},
    "flywheel.judge_prompt": JUDGED,
    "flywheel.model": {
        *BUILT,
        *("bootstrap_model", "simulate_dialogues", "fine_tune_turn", "merge_turn"),
        *JUDGED,  # whether they are of the model's family
    },
    "flywheel.num_heldout_topics": {"simulate_dialogues"},
    "flywheel.num_train_topics": {"simulate_dialogues"},
    "flywheel.train_topics": {"simulate_dialogues"},
    "flywheel.user_prompt": {"simulate_dialogues"},
    "gate.model": {
        *BUILT,
        *MEASURED,
        *("convert_checkpoint", "compare_checkpoint", "warm_up_gate", "collect_router_data"),
    },
    "gate.num_shards": {"collect_router_data", "merge_router_data", "write_summary"},
    "llm.evaluator.model": JUDGED,
    "llm.judge.model": JUDGED,
    "llm.simulator.model": {"simulate_dialogues"},
    "report.num_turns": {
        *("bootstrap_model", "simulate_dialogues", "judge_responses", "prepare_sft_data"),
        *("fine_tune_turn", "merge_turn", "summarize_turn", "calibrate_judge"),
        "write_provenance",
    },
    "suites.cases.samples": {"generate_answers", "grade_answers"},
    "tasks.cases.model": BUILT,
    "tokenizer.domains": {"evaluate_tokenizer"},
    "tokenizer.text": {"train_tokenizer", "evaluate_tokenizer"},
    "tokenizer.unseen_text": {"evaluate_tokenizer"},
    "training.merge_tolerance_nats": {"merge_turn"},  # which has merge_adapter's settings
}
# Where no plain value will do.
VALUES: dict[str, Any] = {
    "adapters.rft.model": "other",
    "adapters.rft.trackers": ["mlflow"],
    "core.bundle": "other_bundle",
    "core.max_batch_tokens": 4096,
    "flywheel.adapter.trackers": ["mlflow"],
    "flywheel.model": "other",
    "gate.model": "other",
    "suites.cases.base_url": "http://localhost:1/v1",
    "suites.cases.samples": "another.jsonl",
    "tasks.cases.base_url": "http://localhost:1/v1",
    "tasks.cases.model": "other",
}
# Keys that only one grader takes -> this grader, their value before and after.
OF_GRADERS: dict[str, tuple[str, Any, Any]] = {
    "labels": ("label", ["one", "word"], ["another", "word"]),
    "pattern": ("regex", "(one)", "(another)"),
}
# Rules that the built-in configuration has no use for.
NOT_PLANNED = {"tokenize_corpus", "evaluate_lawshift"}


def whole_configuration():
    """The built-in configuration with the parts that it leaves out, and one of its datasets."""
    values = yaml.safe_load((ROOT / "config.yaml").read_text())
    values["datasets"] = {"cases": values["datasets"]["cases"]}
    more = {
        "models": {"other": {"build": "base"}},
        "report": {"num_turns": 1},
        "tracking": {"enabled": True},
        "core": {"bundle": "bundle"},
        "suites": {"cases": {"temperature": 0.5}},
    }
    merge(values, more)
    return values


VALUES_OF_ALL = whole_configuration()


def _keys():
    """Name -> path of each key but how servers are reached, and another kind of suite."""
    for key in all_keys(load_config(VALUES_OF_ALL)):
        name = ".".join(key)
        is_of_server = key[0] == "llm" and key[-1] != "model"
        if not is_of_server and key[-1] != "lawshift":
            yield name, key


KEYS = dict(_keys())


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """The plan of the whole configuration, and for each key those before and after its change."""
    folder = clone(tmp_path_factory.mktemp("keys") / "sluice")
    for name in ("bundle", "other_bundle"):
        write_bundle(folder / name)
    # Whatever file a key names.
    (folder / "another").write_text('{"id": "x", "topic": "tea", "text": "A text."}\n')
    question = Message(role="user", content="Which?")
    sample = Sample(messages=[question], dataset="d", id="x", reference={"answer": "a"})
    write_samples(folder / "another.jsonl", [sample])
    pairs = {name: _before_and_after(name, key) for name, key in KEYS.items()}
    configs = [VALUES_OF_ALL]
    for pair in pairs.values():
        configs += [each for each in pair if each not in configs]
    made = ask_for_plans(folder, configs, TARGETS)
    found = {name: tuple(made[configs.index(each)] for each in pairs[name]) for name in KEYS}
    return made[0], found


def _before_and_after(name, key):
    """The whole configuration, and the same with another value of one key."""
    if key[-1] in OF_GRADERS:
        grader, *values = OF_GRADERS[key[-1]]
        graded = with_value(VALUES_OF_ALL, (*key[:-1], "grader"), grader)
        return tuple(with_value(graded, key, value) for value in values)
    value = VALUES[name] if name in VALUES else other_value(VALUES_OF_ALL, key, files=[])
    return VALUES_OF_ALL, with_value(VALUES_OF_ALL, key, value)


def stale_jobs(before, now):
    """Jobs that are new, or have other params or inputs than before."""
    return {
        name
        for name, job in now.items()
        if name not in before
        or any(job[what] != before[name][what] for what in ("params", "inputs"))
    }


def test_each_key_makes_exactly_the_rules_stale_that_it_is_declared_for(plans):
    first, changes = plans
    planned = {job["rule"] for job in first.values()}
    wrong = {}
    for name, (before, now) in changes.items():
        # With vLLM a rule has another environment and name, but the same settings.
        found = {now[job]["rule"].removesuffix("_with_vllm") for job in stale_jobs(before, now)}
        expected = (declared_rules(KEYS[name]) & planned) | WIRED.get(name, set()) | ALWAYS
        if name == "tracking.enabled":
            expected -= {"track_results"}  # which is gone then
        if found != expected:
            wrong[name] = {"unexpected": found - expected, "missing": expected - found}
    assert wrong == {}


def test_only_what_is_declared_so_reaches_a_command_without_making_it_stale(plans):
    first, changes = plans
    planned = {job["rule"] for job in first.values()}
    found = {
        (name, now[job]["rule"])
        for name, (before, now) in changes.items()
        for job in now.keys() - stale_jobs(before, now)
        if now[job]["command"] != before[job]["command"]
    }
    declared = {
        (name, rule)
        for name, key in KEYS.items()
        for rule in declared_rules(key, are_stale=False) & planned
    }
    assert found == declared
    assert declared


def test_every_rule_that_takes_settings_is_among_those_that_were_planned(plans):
    planned = {job["rule"] for job in plans[0].values()}
    declared = set(RULE_SETTINGS).union(*ENTRY_SETTINGS.values())
    assert declared - planned == NOT_PLANNED


def test_every_job_carries_the_hash_of_the_script_that_it_runs(plans):
    for name, job in plans[0].items():
        script = job["command"].split()[1].removeprefix("workflow_scripts/").removesuffix(".py")
        assert repr(code_hash(script)) in job["params"], name

"""Decisions on real items equal those of a plain reference, item by item, on the built-in model."""

import json

import pytest
import yaml
from parity.core_reference import decide_item, load_shuffled

from sluice.core_metric.bundle import read_tasks
from sluice.core_metric.evaluation import evaluate
from sluice.settings.core_metric import EvaluateCore

MAX_TOKENS = 1500
# Items a task. All types, with examples and without, with equal choices (arc_easy), prompts longer
# than the context (boolq), and right answers in language modelling (algorithms).
TASKS = {
    "arc_easy": 25,
    "commonsense_qa": 12,
    "piqa": 20,
    "copa": 60,
    "boolq": 3,
    "agi_eval_lsat_ar": 4,
    "winograd": 60,
    "winogrande": 40,
    "jeopardy": 12,
    "lambada_openai": 40,
    "bigbench_cs_algorithms": 40,
}
MIXED = {"arc_easy", "piqa", "winograd", "bigbench_cs_algorithms"}


def raw_items(bundle, label):
    listed = yaml.safe_load((bundle / "core.yaml").read_text())["icl_tasks"]
    (entry,) = [entry for entry in listed if entry["label"] == label]
    with open(bundle / "eval_data" / entry["dataset_uri"], encoding="utf-8") as stream:
        raw = [json.loads(line) for line in stream]
    layout = {
        "kind": entry["icl_task_type"],
        "num_shots": entry["num_fewshot"][0],
        "delimiter": entry.get("continuation_delimiter", " "),
    }
    return raw, layout


def compare(base_model, bundle, label, *, folder, count, nanochat_compatible):
    """Compares the first items of a task with the reference; returns how many are right."""
    settings = EvaluateCore(
        bundle=str(bundle),
        max_per_task=count,
        nanochat_compatible=nanochat_compatible,
        max_context_tokens=MAX_TOKENS,
        max_batch_tokens=6000,
    )
    (task,) = [task for task in read_tasks(bundle) if task.label == label]
    found = evaluate(*base_model, [task], settings=settings, state=folder).decisions[label]
    assert len(found) == count
    raw, layout = raw_items(bundle, label)
    data = load_shuffled(raw, limit=count if nanochat_compatible else None)
    for index, decision in enumerate(found):
        is_correct, chosen, losses = decide_item(
            *base_model, data, index, max_tokens=MAX_TOKENS, **layout
        )
        assert decision.losses_nats == pytest.approx(losses, abs=2e-5), index
        assert (decision.is_correct, decision.predicted) == (is_correct, chosen), index
    return sum(decision.is_correct for decision in found)


@pytest.mark.parametrize("label", TASKS)
def test_every_decision_is_the_references(label, base_model, shared_data, tmp_path):
    count = TASKS[label]
    num_correct = compare(
        base_model,
        shared_data / "core",
        label,
        folder=tmp_path,
        count=count,
        nanochat_compatible=False,
    )
    if label in MIXED:
        assert 0 < num_correct < count, "equal decisions would say little"


@pytest.mark.parametrize("label", ["winograd", "commonsense_qa", "bigbench_operators"])
def test_with_nanochats_examples_too(label, base_model, shared_data, tmp_path):
    compare(
        base_model,
        shared_data / "core",
        label,
        folder=tmp_path,
        count=12,
        nanochat_compatible=True,
    )

"""The same prompts through lm_eval: the same likelihoods and the same decisions, item by item."""

import numpy as np
import pytest
from parity.lm_eval_tasks import run_lm_eval, sums_of_losses, write_task

from sluice.core_metric.bundle import read_items, read_tasks
from sluice.core_metric.evaluation import evaluate
from sluice.settings.core_metric import EvaluateCore

pytest.importorskip("lm_eval", reason="lm_eval is not installed (requirements-dev.txt)")

# Choices of one letter, where the mean loss is the sum and lm_eval's acc is CORE's own decision;
# and whole answers, where the sums are compared.
LETTERS = {"commonsense_qa": 10}
ANSWERS = {"arc_easy": 10, "copa": 40}


def test_likelihoods_and_decisions_are_lm_evals(base_model, shared_data, tmp_path):
    bundle = shared_data / "core"
    counts = LETTERS | ANSWERS
    model, tokenizer = base_model
    tasks = {task.label: task for task in read_tasks(bundle) if task.label in counts}
    items = {label: read_items(task) for label, task in tasks.items()}
    for label, task in tasks.items():
        write_task(tmp_path / "tasks", task, items[label], num_items=counts[label])
    theirs = run_lm_eval(
        tmp_path / "tasks", list(tasks), model=model, tokenizer=tokenizer, batch_size=4
    )
    for label, task in tasks.items():
        settings = EvaluateCore(max_per_task=counts[label])
        found = evaluate(model, tokenizer, [task], settings=settings, state=tmp_path)
        decisions = found.decisions[label]
        sums = sums_of_losses(task, items[label], decisions, tokenizer=tokenizer)
        assert len(sums) == len(theirs[label]) == counts[label]
        for decision, ours, logs in zip(decisions, sums, theirs[label], strict=True):
            differences = np.array(ours) - ours[0]
            assert differences == pytest.approx(logs[0] - np.array(logs), abs=1e-3)
            assert int(np.argmin(ours)) == int(np.argmax(logs))
            if label in LETTERS:
                assert decision.predicted == int(np.argmax(logs))

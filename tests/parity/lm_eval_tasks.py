"""CORE's multiple-choice prompts as tasks of lm_eval (lm-evaluation-harness), and its answers.

Each item's examples are written into its own context, so that both sides read the same text.
lm_eval scores the delimiter with the choice, ours only from where the choices differ; what all
choices begin with adds the same to each, so differences of sums are the same, and so is the best.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from sluice.core_metric.bundle import Item, Task
from sluice.core_metric.decisions import Decision
from sluice.core_metric.prompts import choose_shots, lay_out_prompts
from sluice.core_metric.questions import encode_questions


def write_task(folder: Path, task: Task, items: Sequence[Item], *, num_items: int) -> None:
    """The first items of a task as lm_eval's YAML and JSON Lines."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{task.label}.jsonl"
    with open(data, "w", encoding="utf-8") as stream:
        for index in range(num_items):
            shots = choose_shots(items, index, num_shots=task.num_shots)
            full = lay_out_prompts(task, items[index], shots).full[0]
            ending = task.delimiter + items[index].continuations[0]
            entry = {
                "index": index,
                "context": full.removesuffix(ending),
                "choices": items[index].continuations,
                "gold": items[index].gold,
            }
            stream.write(json.dumps(entry) + "\n")
    described = {
        "task": f"sluice_{task.label}",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(data)},
            "cache_dir": str(folder / "cache"),
        },
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{context}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "gold",
        "target_delimiter": task.delimiter,
        "num_fewshot": 0,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (folder / f"{task.label}.yaml").write_text(yaml.safe_dump(described))


def run_lm_eval(
    folder: Path, labels: Sequence[str], *, model: Any, tokenizer: Any, batch_size: int
) -> dict[str, list[list[float]]]:
    """Sum of log-likelihoods of every choice, item by item, of each task."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    found = simple_evaluate(
        HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size),
        tasks=[f"sluice_{label}" for label in labels],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
    )
    samples = {}
    for label in labels:
        rows = sorted(found["samples"][f"sluice_{label}"], key=lambda row: row["doc"]["index"])
        samples[label] = [[float(answer[0]) for answer in row["filtered_resps"]] for row in rows]
    return samples


def sums_of_losses(
    task: Task, items: Sequence[Item], decisions: Sequence[Decision], *, tokenizer: Any
) -> list[list[float]]:
    """Our losses of every choice, summed over its scored tokens (nats)."""
    questions = encode_questions(
        task, items, range(len(decisions)), tokenizer=tokenizer, max_tokens=None
    )
    return [
        [
            0.0 if loss is None else loss * row.num_scored
            for loss, row in zip(decision.losses_nats, question.rows, strict=True)
        ]
        for decision, question in zip(decisions, questions, strict=True)
    ]

"""Small evaluation bundles in the shape of the real one, with a task of each type."""

import json
from pathlib import Path

import yaml

CAPITALS = ["Paris", "Rome", "Oslo", "Bern", "Kyiv", "Lima", "Cairo", "Delhi", "Quito", "Tunis"]
LANDS = ["France", "Italy", "Norway", "Swiss", "Ukraine", "Peru", "Egypt", "India", "Ecuador"]


def choice_items(count: int) -> list[dict[str, object]]:
    return [
        {
            "query": f"Question: what is the capital of {LANDS[n % 9]} in the year {n}?",
            "choices": [CAPITALS[(n + step) % 10] for step in range(4)],
            "gold": n % 4,
        }
        for n in range(count)
    ]


def schema_items(count: int) -> list[dict[str, object]]:
    return [
        {
            "context_options": [
                f"Box {n} holds no ball because the box",
                f"Box {n} holds no ball because it",
            ],
            "continuation": f"is {'small' * (1 + n % 3)}.",
            "gold": n % 2,
        }
        for n in range(count)
    ]


def language_items(count: int) -> list[dict[str, object]]:
    return [
        {
            "context": f"The capital of {LANDS[n % 9]}, said {n} times, is ",
            "continuation": CAPITALS[n % 10],
        }
        for n in range(count)
    ]


TASKS = {
    "capitals": ("multiple_choice", 3, "\nAnswer: ", choice_items, 25),
    "boxes": ("schema", 0, None, schema_items, 50),
    "recall": ("language_modeling", 2, None, language_items, 0),
}


def write_bundle(folder: Path, *, num_items: int = 12, without: tuple[str, ...] = ()) -> Path:
    """A bundle of three tasks; ``without`` names tasks whose data is left out."""
    (folder / "eval_data/some").mkdir(parents=True)
    listed, rows = [], []
    for label, (kind, shots, delimiter, make, baseline) in TASKS.items():
        entry = {
            "label": label,
            "dataset_uri": f"some/{label}.jsonl",
            "num_fewshot": [shots],
            "icl_task_type": kind,
            "has_categories": False,
        }
        listed.append(entry | ({"continuation_delimiter": delimiter} if delimiter else {}))
        rows.append(f"{label},knowledge,{kind},{shots},{num_items},{baseline}")
        if label not in without:
            write_items(folder, label, make(num_items))
    (folder / "core.yaml").write_text(yaml.safe_dump({"icl_tasks": listed}))
    head = "Eval Task,Task Category,Task Type,#shots,#datapoints,Random baseline"
    table = "\n".join([head, *rows]) + "\n"
    (folder / "eval_meta_data.csv").write_text(table)
    (folder / "eval_meta_data_v1.csv").write_text(table.replace("12,25\n", "12,20\n"))
    return folder


def write_items(folder: Path, label: str, items: list[dict[str, object]]) -> None:
    lines = "".join(json.dumps(item) + "\n" for item in items)
    (folder / f"eval_data/some/{label}.jsonl").write_text(lines)

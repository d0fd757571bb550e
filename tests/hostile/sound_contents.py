"""What stands in sound files: rows of every format, and documents of every kind."""

import json

import torch
from source_bytes import to_csv, to_gz, to_parquet, to_zst
from support import ROOT

from sluice.router_data import RouterData

LEGAL_PROMPT = ROOT / "resources/prompts/legal_judgment_v1.txt"
ARTICLES = b'{"264": "theft"}'
DEMO_LAW = (ROOT / "resources/demo/cases.json").read_bytes()


def lines(rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


CONTAINERS = {
    "rows.json": lambda rows: json.dumps(rows).encode(),
    "rows.jsonl": lines,
    "lines.json": lines,
    "rows.csv": to_csv,
    "rows.parquet": to_parquet,
}
COMPRESSIONS = {"": bytes, ".gz": to_gz, ".zst": to_zst}

ROWS = [{"prompt": f"one {n}", "completion": "eins, zwei\n", "note": "中文"} for n in range(5)]
MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
SAMPLE = {"messages": MESSAGES, "dataset": "d", "weight": 0.5, "group": "g"}
SAMPLES = [
    {**SAMPLE, "id": f"d_{n}", "reference": {"answer": "4"}, "meta": {"a": [1]}} for n in range(3)
]
CASE = {"fact": "f", "relevant_articles": [264], "charge": "c", "prison_time": 3}
CASES = json.dumps([CASE] * 2).encode()
ANSWER = {
    "id": "a",
    "sample": 0,
    "group": None,
    "prompt": MESSAGES[:1],
    "completion": "c",
    "finish_reason": "stop",
    "num_tokens": 3,
}
FORMAT_ROWS = {
    "messages": {
        "messages": [*MESSAGES, {**MESSAGES[1], "tool_calls": [{"function": {"name": "f"}}]}],
        "id": "a",
        "weight": 1.5,
        "group": "g",
        "reference": {"answer": "1"},
        "meta": {"x": 1},
    },
    "sharegpt": {
        "conversations": [
            {"from": "human", "value": "hi"},
            {"from": "function_call", "value": "{}"},
            {"from": "gpt", "value": "ho"},
        ],
        "system": "s",
        "tools": "[1]",
    },
    "alpaca": {
        "instruction": "a",
        "input": "b",
        "output": "c",
        "system": "d",
        "history": [["q", "a"]],
    },
    "prompt_completion": {"prompt": "a", "completion": "b"},
    "question_answer": {"question": "q", "answer": "a #### 1,234"},
    "defect": {
        "instruction": [{"subtype": "leak"}],
        "input": {"task": "t", "event": "e", "output_format": "f"},
        "output": {"judgement": "j", "reason": "r"},
    },
    "lawshift": CASE,
}
TOPICS = [
    {"id": n, "topic": "cats", "language": "en", "turns": ["a", "b"], "reference": ["x", None]}
    for n in range(2)
]
SIMULATION = {
    "format_version": 1,
    "model": "small",
    "dialogues": [
        {
            "id": "a",
            "topic": "cats",
            "topic_id": 1,
            "status": "complete",
            "exchanges": [{"user": "hi", "assistant": "ho", "reference": None}],
        }
    ],
}
EVALUATION = {
    "judge_model": "j",
    "dimensions": ["accuracy"],
    "scale": [1, 5],
    "verdicts": [
        {
            "dialogue_id": "a",
            "exchange": 0,
            "status": "scored",
            "scores": {"accuracy": 4},
            "mean": 4.0,
            "reason": None,
        }
    ],
}
LEDGER = {"step": "s", "dataset": "d", "rows_in": 3, "rows_kept": 2, "rejected": {"bad_json": 1}}
PROVENANCE = {
    "format_version": 2,
    "ran_with": {
        "k": {
            "commit": None,
            "machine": {"host": "h", "system": "s", "processor": "p", "num_cpus": 2, "python": "3"},
            "packages": {"torch": "1"},
        }
    },
    "files": {
        "a": {
            "sha256": "0",
            "made_by": "r",
            "command": "python workflow_scripts/convert_dataset.py",
            "code": "x",
            "ran_with": "k",
            "is_isolated": False,
        }
    },
}
CONFIGURATION = (
    b"datasets:\n  a: {path: x.jsonl}\nmodels:\n  m: {path: y}\n"
    b"gate: {model: m}\nflywheel: {model: m}\n"
)


def router_data():
    """Two samples of 3 and 2 entries, 2 layers."""
    return RouterData(
        dataset_name="d",
        sample_ids=["d_0", "d_1"],
        offsets=torch.tensor([0, 3, 5]),
        quality_gates=torch.arange(10).reshape(5, 2).half(),
        perplexities=torch.arange(5) + 1.0,
        is_response=torch.tensor([False, True, True, True, True]),
        entropies=torch.ones(5).half(),
        varentropies=torch.ones(5).half(),
        response_nll_alone=torch.ones(2),
    )

"""Source files of every kind, rows of every format, and runs of the conversion."""

import json
from types import SimpleNamespace

from source_bytes import to_csv, to_gz, to_parquet, to_zst
from support import ROOT

from sluice.data.conversion import convert_dataset
from sluice.ledger import read_ledger
from sluice.records import read_samples
from sluice.settings.data import ConvertDataset, DatasetSource
from sluice.sources import read_source

LEGAL_PROMPT = ROOT / "resources" / "prompts" / "legal_judgment_v1.txt"


def to_jsonl(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def to_json(rows):
    return json.dumps(rows, ensure_ascii=False, indent=2).encode()


CONTAINERS = {
    "rows.json": to_json,
    "rows.jsonl": to_jsonl,
    "rows.ndjson": to_jsonl,
    "rows.csv": to_csv,
    "rows.parquet": to_parquet,
    "lines.json": to_jsonl,
}
COMPRESSIONS = {"": bytes, ".gz": to_gz, ".zst": to_zst}

GOOD = {"prompt": "p", "completion": "c"}
HELLO = [("user", "Hello?"), ("assistant", "Hi.")]
STRANGE = [
    "a\u2028b\u2029c\x85d",
    "nul\x00byte\x1f",
    "one\r\ntwo\rthree\n",
    "🙃👩‍👩‍👧 中文日本語한국어",
    "\ufeffmark",
    '"quoted", \\back\\slash, {"json": 1}',
]

# Format -> (row, messages, group, reference)
FORMAT_ROWS = {
    "messages": (
        {
            "messages": [
                {"role": "user", "content": "Hello?"},
                {"role": "assistant", "content": "Hi."},
            ],
            "group": "g",
            "reference": {"answer": "Hi."},
        },
        HELLO,
        "g",
        {"answer": "Hi."},
    ),
    "alpaca": ({"instruction": "Hello?", "input": "", "output": "Hi."}, HELLO, None, None),
    "sharegpt": (
        {
            "conversations": [
                {"from": "human", "value": "Hello?"},
                {"from": "function_call", "value": '{"name": "greet"}'},
                {"from": "observation", "value": "Hi"},
                {"from": "gpt", "value": "Hi."},
            ]
        },
        [
            ("user", "Hello?"),
            ("assistant", '<tool_call>\n{"name": "greet"}\n</tool_call>'),
            ("tool", "Hi"),
            ("assistant", "Hi."),
        ],
        None,
        None,
    ),
    "prompt_completion": ({"prompt": "Hello?", "completion": "Hi."}, HELLO, None, None),
    "question_answer": (
        {"question": "1 + 1?", "answer": "It is 2.\n#### 2"},
        [("user", "1 + 1?"), ("assistant", "It is 2.\n#### 2")],
        None,
        {"answer": "2"},
    ),
    "defect": (
        {
            "instruction": [{"subtype": "leak"}],
            "input": {"task": "Judge.", "event": "Oil.", "output_format": "yes or no"},
            "output": {"judgement": "yes", "reason": "Oil leaks."},
        },
        [("user", "Judge.\n\nOil.\n\nyes or no"), ("assistant", "yes\n\nOil leaks.")],
        "leak",
        {"answer": "yes"},
    ),
    "lawshift": (
        {"fact": "张某盗窃", "relevant_articles": [264, 67], "charge": "盗窃", "prison_time": 9},
        [
            (
                "user",
                LEGAL_PROMPT.read_text(encoding="utf-8")
                .replace("{articles}", "第264条 盗窃\n第67条 自首")
                .replace("{fact}", "张某盗窃"),
            ),
            ("assistant", "<answer> 盗窃 | 9 </answer>"),
        ],
        None,
        {"charge": "盗窃", "prison_time": 9, "relevant_articles": ["264", "67"]},
    ),
}
ALPACA = [
    {"instruction": text, "input": "", "output": text[::-1], "source": f"s{n}"}
    for n, text in enumerate([*STRANGE, *(f"Question {n}?" for n in range(40))])
]
GOOD_LINES = to_jsonl([GOOD] * 10)


def read(path):
    """(place, value, problem) of every row of a source."""
    return [(row.where, row.value, row.problem) for row in read_source(path)]


def convert(folder, path=None, *, dataset="d", limits=None, **source):
    """Runs the step on a file, and gives back what it wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    files = SimpleNamespace(
        samples=folder / "samples.jsonl",
        ledger=folder / "samples.ledger.json",
        rejected=folder / "samples.rejected.jsonl",
        kept=folder / "kept" / "rejected.jsonl",
    )
    convert_dataset(
        DatasetSource(path=None if path is None else str(path), **source),
        dataset=dataset,
        settings=ConvertDataset(**(limits or {})),
        legal_prompt=LEGAL_PROMPT,
        samples_path=files.samples,
        ledger_path=files.ledger,
        rejected_path=files.rejected,
        kept_on_failure=files.kept,
    )
    return SimpleNamespace(
        samples=list(read_samples(files.samples)),
        ledger=read_ledger(files.ledger),
        rejected=entries(files.rejected),
        bytes=files.samples.read_bytes(),
    )


def convert_rows(folder, rows, **options):
    """Runs the step on rows written as JSON Lines."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "source.jsonl"
    source.write_bytes(to_jsonl(rows))
    return convert(folder / "out", source, **options)


def entries(path):
    """The rejected rows that a file holds."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def exchanges(sample):
    """The messages as (role, text)."""
    return [(message.role, message.content) for message in sample.messages]


def written(folder):
    """The names of all files of a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())

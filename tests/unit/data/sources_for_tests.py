"""Source files of every kind, and runs of the conversion, for the tests of this folder."""

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

"""Samples and runs of the cleaning step for the tests of this folder."""

import json
import random
from itertools import permutations

import pyarrow.parquet as pq

from sluice.data.cleaning import drop_overlap
from sluice.ledger import Ledger
from sluice.records import Sample, write_samples
from sluice.settings.data import DropOverlap
from sluice.similarity.evaluation_texts import read_questions


def make_sample(number, prompt, response, *, dataset="t", group=None):
    messages = ({"role": "user", "content": prompt}, {"role": "assistant", "content": response})
    return Sample(messages=messages, dataset=dataset, id=f"{dataset}_{number}", group=group)


def clean(folder, samples, *, evaluation=(), **settings):
    """Runs the step; returns (kept ids in order, id -> (reason, detail), id -> cluster)."""
    folder.mkdir(parents=True, exist_ok=True)
    source, output = folder / "samples.jsonl", folder / "clean.jsonl"
    write_samples(source, samples)
    ledger = Ledger(
        "drop_overlap", "t", path=folder / "l.json", rejected_path=folder / "rejected.jsonl"
    )
    with ledger:
        drop_overlap(
            source,
            questions=read_questions(list(evaluation)),
            settings=DropOverlap(**settings),
            output=output,
            clusters=folder / "clusters.parquet",
            ledger=ledger,
        )
    kept = [json.loads(line)["id"] for line in output.read_bytes().splitlines()]
    entries = map(json.loads, (folder / "rejected.jsonl").read_text().splitlines())
    rejected = {entry["where"]: (entry["reason"], entry["detail"]) for entry in entries}
    table = pq.read_table(folder / "clusters.parquet").to_pydict()
    return kept, rejected, dict(zip(table["id"], table["cluster"], strict=True))


def arithmetic(count):
    """Templated samples that differ in their numbers only."""
    return [
        make_sample(
            n, f"What is {a} + {b}?", f"I add {a} and {b} and get {a + b}.\nAnswer: {a + b}"
        )
        for n, (a, b) in enumerate((n // 30 + 10, n % 30 + 11) for n in range(count))
    ]


_WORDS = [
    "tiger",
    "piano",
    "scarf",
    "apple",
    "ladder",
    "violin",
    "horse",
    "glove",
    "wagon",
    "melon",
    "hammer",
    "ferry",
]


def word_lists(count):
    """Templated samples in two languages that differ in the choice and order of words only."""
    lists = random.Random(5).sample(list(permutations(_WORDS, 4)), count)
    samples = []
    for n, words in enumerate(lists):
        turned = ", ".join(reversed(words))
        prompt = f"Put these words in reverse order: {', '.join(words)}"
        if n % 2:
            prompt = f"请把下面这些词倒过来排列：{'、'.join(words)}"
        samples.append(make_sample(n, prompt, f"Answer: {turned}", dataset="w"))
    return samples


def ids(samples):
    return [sample.id for sample in samples]

"""Router data, tables of scores and samples for the tests of this folder."""

import random

import pyarrow as pa
import torch

from sluice.records import Sample
from sluice.router_data import RouterData
from sluice.settings.selection import SelectSamples


def random_records(count, *, num_layers=3, seed=1, dataset="d"):
    """Plain records of samples of 1 to 40 entries, each with a response token or more."""
    rng = random.Random(seed)
    records = []
    for n in range(count):
        num_entries = rng.randint(1, 40)
        first_response = rng.randrange(num_entries)
        records.append(
            {
                "id": f"{dataset}_{n}",
                "gates": [[rng.gauss(0, 2) for _ in range(num_layers)] for _ in range(num_entries)],
                "perplexities": [rng.lognormvariate(1, 1) + 1 for _ in range(num_entries)],
                "is_response": [place >= first_response for place in range(num_entries)],
                "entropies": [rng.uniform(0, 3) for _ in range(num_entries)],
                # Some below the floor of the deviation, 0.1 nats.
                "varentropies": [rng.choice([0.0, 0.001, 0.5, 3.0]) for _ in range(num_entries)],
                "alone": rng.uniform(0.5, 3),
            }
        )
    return records


def router_data(records, *, dataset="d", without=()):
    """The records as router data, without some of its optional fields."""
    offsets = [0]
    for record in records:
        offsets.append(offsets[-1] + len(record["perplexities"]))

    def entries(name, dtype):
        return torch.tensor([value for record in records for value in record[name]], dtype=dtype)

    optional = {
        "entropies": entries("entropies", torch.float16),
        "varentropies": entries("varentropies", torch.float16),
        "response_nll_alone": torch.tensor([record["alone"] for record in records]),
    }
    return RouterData(
        dataset_name=dataset,
        sample_ids=[record["id"] for record in records],
        offsets=torch.tensor(offsets),
        quality_gates=entries("gates", torch.float16),
        perplexities=entries("perplexities", torch.float32),
        is_response=entries("is_response", torch.bool),
        **{name: tensor for name, tensor in optional.items() if name not in without},
    )


def score_table(columns=None, *, ids=None, count=None, dataset="d", status=None, **scores):
    """A table of scores: what is not given is a different number for every sample."""
    given = {**(columns or {}), **scores}
    count = count or len(ids or next(iter(given.values())))
    ids = ids or [f"{dataset}_{n:05d}" for n in range(count)]
    rising = [n / count for n in range(1, count + 1)]
    names = ["quality", "perplexity", "response_nll", "excess_surprise_max"]
    defaults = dict.fromkeys([*names, "gate_layer_00", "gate_layer_01"], rising)
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "dataset": pa.array([dataset] * count, pa.string()),
            "num_tokens": pa.array(given.pop("num_tokens", [10] * count), pa.int64()),
            "num_response_tokens": pa.array([5] * count, pa.int64()),
            **{name: pa.array(values, pa.float64()) for name, values in (defaults | given).items()},
            "status": pa.array(status or ["ok"] * count, pa.string()),
        }
    )


def make_sample(sample_id, *, dataset="d", response="Yes.", **fields):
    messages = (
        {"role": "user", "content": f"What of {sample_id}?"},
        {"role": "assistant", "content": response},
    )
    return Sample(messages=messages, dataset=dataset, id=sample_id, **fields)


def samples_of(table):
    return [make_sample(each, dataset=name) for each, name in both(table)]


def both(table):
    """(id, dataset) of every row."""
    return zip(table["id"].to_pylist(), table["dataset"].to_pylist(), strict=True)


def ids_at(table, rows):
    ids = table["id"].to_pylist()
    return [ids[row] for row in rows]


def shuffled(table, *, seed=1):
    order = list(range(table.num_rows))
    random.Random(seed).shuffle(order)
    return table.take(pa.array(order))


def make_selection(**changes):
    """Settings that rank by one score, whatever the default is."""
    one_score = {"hybrid_quality_weight": 0.0, "hybrid_surprise_score": "excess_surprise_max"}
    return SelectSamples(**{**one_score, **changes})

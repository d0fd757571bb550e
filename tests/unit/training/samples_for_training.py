"""Samples, checkpoints and runs for the tests of this folder."""

import random
from pathlib import Path

import torch
from tiny_models import byte_tokenizer, write_tiny_checkpoint

from sluice.ledger import Ledger
from sluice.records import Sample, write_samples
from sluice.settings.training import FineTune
from sluice.training.adapters import BaseModel
from sluice.training.encoding import load_training_samples
from sluice.training.results import Outputs
from sluice.training.runs import fine_tune

QUIET = {
    "dropout": 0.0,
    "eval_fraction": 0.0,
    "warmup_steps": 0,
    "batch_size": 2,
    "accumulation": 2,
    "r": 4,
    "target_modules": ("all-linear",),
}
"""Settings under which a run is small and draws no random numbers once it has begun."""


def make_sample(number, prompt, response, **more):
    messages = ({"role": "user", "content": prompt}, {"role": "assistant", "content": response})
    return Sample(messages=messages, dataset="t", id=f"t_{number:03}", **more)


def mixed_samples(count, *, seed=0, with_weights=True):
    """Samples of many lengths, weights and groups."""
    rng = random.Random(seed)
    return [
        make_sample(
            n,
            f"What is {n}?" + " Hm." * rng.randrange(6),
            "It is " + "so " * rng.randrange(1, 12) + f"{n}.",
            weight=rng.choice([0.2, 0.5, 1.0, 3.0]) if with_weights else None,
            group="ab"[n % 2],
        )
        for n in range(count)
    ]


def checkpoint(folder, **more):
    """A tiny model whose layers are wide enough for 4 bits."""
    return BaseModel(str(write_tiny_checkpoint(folder / "base", intermediate_size=128, **more)))


def encode(folder, samples, **settings):
    """Samples -> what the trainer learns from, by the step's own reader."""
    path = folder / "encode.jsonl"
    write_samples(path, samples)
    with Ledger(
        "fine_tune", "t", path=folder / "l.json", rejected_path=folder / "r.jsonl"
    ) as ledger:
        return load_training_samples(
            byte_tokenizer(), [path], settings=FineTune(**settings), ledger=ledger
        )


def tune(folder, base, samples, *, name="a", **settings):
    """Runs the whole step; returns where its outputs are."""
    path = folder / "samples.jsonl"
    if not path.exists():
        write_samples(path, samples)
    target = Path(folder) / name
    outputs = Outputs(
        model=target / "final_model",
        metrics=target / "metrics.json",
        logs=target / "logs",
        ledger=target / "samples.ledger.json",
        rejected=target / "samples.rejected.jsonl",
    )
    settings = FineTune(**{**QUIET, **settings})
    fine_tune(base, [path], settings, outputs=outputs, state_root=folder / f"state_{name}")
    return outputs


def flat(tensors):
    return torch.cat([each.detach().reshape(-1).double() for each in tensors])


def relative_distance(first, second):
    """|first - second| / |second| of two lists of tensors."""
    return float((flat(first) - flat(second)).norm() / flat(second).norm())

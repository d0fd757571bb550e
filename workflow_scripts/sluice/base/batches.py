"""Which samples a step sees: a pure function of seed and step, so that a run can go on anywhere."""

import random
from collections.abc import Iterator, Sequence

from sluice.seeds import derive_seed

# Samples are sorted by length within pools of this many batches: little padding, much mixing.
_BATCHES_PER_POOL = 20


def plan_batches(
    lengths: Sequence[int], *, batch_size: int, num_steps: int, seed: int
) -> list[list[int]]:
    """The sample indices of every step.

    Each epoch visits every sample at most once, in its own order; a last batch that is not full is
    left out. Where there are fewer samples than ``batch_size``, a batch holds them all.

    Args:
        lengths: tokens of each sample.
        batch_size: samples a step.
        num_steps: steps in all.
        seed: the config's seed.
    """
    steps: list[list[int]] = []
    epoch = 0
    size = min(batch_size, len(lengths))
    while len(steps) < num_steps:
        rng = random.Random(derive_seed(seed, "plan_batches", epoch))
        batches = list(_epoch(lengths, size=size, rng=rng))
        rng.shuffle(batches)
        steps.extend(batches)
        epoch += 1
    return steps[:num_steps]


def _epoch(lengths: Sequence[int], *, size: int, rng: random.Random) -> Iterator[list[int]]:
    order = list(range(len(lengths)))
    rng.shuffle(order)
    pool_size = size * _BATCHES_PER_POOL
    for start in range(0, len(order), pool_size):
        pool = sorted(order[start : start + pool_size], key=lambda index: lengths[index])
        for first in range(0, len(pool) - size + 1, size):
            yield pool[first : first + size]

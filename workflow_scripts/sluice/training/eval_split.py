"""The held-out part by which the best checkpoint is chosen."""

import random
from collections import defaultdict
from collections.abc import Sequence

from sluice.logs import get_logger
from sluice.seeds import derive_seed
from sluice.training.batching import TrainingSample

logger = get_logger(__name__)

_NO_GROUP = "(none)"


def split_for_evaluation(
    samples: Sequence[TrainingSample], *, eval_fraction: float, seed: int
) -> tuple[list[TrainingSample], list[TrainingSample]]:
    """Training samples and held-out samples; each group gives its share of prompts.

    All completions of a prompt stay on one side, since a model that has learnt one of them is no
    stranger to the others. A group of more than one prompt gives at least one and keeps at least
    one; a group of a single prompt is trained on.
    """
    prompts: dict[str, set[str]] = defaultdict(set)
    group_of: dict[str, str] = {}
    for sample in samples:
        # A prompt of two groups belongs to the one that comes first.
        group = group_of.setdefault(sample.prompt, sample.group or _NO_GROUP)
        prompts[group].add(sample.prompt)
    held: set[str] = set()
    if eval_fraction > 0:
        for group, members in sorted(prompts.items()):
            order = sorted(members)
            random.Random(derive_seed(seed, "split_for_evaluation", group)).shuffle(order)
            count = min(max(1, round(eval_fraction * len(order))), len(order) - 1)
            held.update(order[:count])
    train = [sample for sample in samples if sample.prompt not in held]
    held_out = [sample for sample in samples if sample.prompt in held]
    logger.info("%d samples to learn from, %d held out", len(train), len(held_out))
    return train, held_out

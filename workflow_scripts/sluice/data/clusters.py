"""Clusters of samples whose prompts are alike, for a split that keeps each on one side."""

from collections.abc import Iterable

import numpy as np

from sluice.similarity.duplicates import Comparison, Sketches
from sluice.similarity.minhash import band_keys, shared_buckets
from sluice.similarity.text_forms import Ints

# A cluster may hold this share of all samples, and so many at least.
_MAX_CLUSTER_SHARE = 0.01
_MIN_CLUSTER_CAP = 50
# In a large bucket each sample is compared with the first and with so many before it.
_MAX_NEIGHBOURS = 8


def find_clusters(
    sketches: Sketches, *, order: Ints, compare: Comparison, threshold: float
) -> Ints:
    """Cluster of each sample in ``order``, as the place of its first member.

    Samples whose prompts are alike belong together, whatever their responses. The most similar
    pairs join first, and no cluster grows beyond 1 % of the samples (or 50, if that is more), so
    that a chain of templated prompts cannot swallow a dataset.
    """
    pairs: set[tuple[int, int]] = set()
    salts = sketches.prompt_numbers[order]
    for keys in band_keys(sketches.prompts[order], salts=salts, threshold=threshold):
        for members in shared_buckets(keys):
            pairs.update(_neighbours(members))
    similar = [
        (-similarity, first, second)
        for first, second in sorted(pairs)
        if (similarity := compare.prompts(int(order[first]), int(order[second]))) >= threshold
    ]
    cap = max(_MIN_CLUSTER_CAP, int(_MAX_CLUSTER_SHARE * len(order)))
    return _join(sorted(similar), num_samples=len(order), cap=cap)


def _neighbours(members: Ints) -> Iterable[tuple[int, int]]:
    for place, member in enumerate(members):
        for other in {0, *range(max(0, place - _MAX_NEIGHBOURS), place)} - {place}:
            yield int(members[other]), int(member)


def _join(pairs: list[tuple[float, int, int]], *, num_samples: int, cap: int) -> Ints:
    """Union-find in the given order of pairs; a union beyond ``cap`` members is left out."""
    root = list(range(num_samples))
    size = [1] * num_samples

    def find(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    for _, first, second in pairs:
        low, high = sorted((find(first), find(second)))
        if low != high and size[low] + size[high] <= cap:
            root[high] = low
            size[low] += size[high]
    return np.array([find(place) for place in range(num_samples)], dtype=np.int64)

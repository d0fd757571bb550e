"""Exact and near duplicates of samples, and clusters of samples that ask nearly the same.

Two samples are near duplicates where their prompts *and* their responses are: the same prompt with
another answer is no copy. They also have the same numbers and signs in the same order, and still
agree by half when `Boilerplate` is taken away, or differ by light edits only: "what is 17 + 25?"
and "what is 17 + 26?", or two lists in one template, are never taken for copies.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sluice.data.boilerplate import Boilerplate
from sluice.data.edits import is_light_edit
from sluice.data.minhash import (
    Bags,
    MinHashes,
    bags_of,
    band_keys,
    gram_bags,
    jaccard,
    min_hashes,
    pad,
    shared_buckets,
)
from sluice.data.text_forms import Ints, UInts, compact, encode, facts, normalise, numbers
from sluice.records import Sample
from sluice.seeds import derive_seed

# Without boilerplate, so much similarity must remain.
MIN_OWN_SIMILARITY = 0.5
# Three edits in sixty characters leave so much similarity of 5-grams.
MIN_EDITED_SIMILARITY = 0.5
# In a longer question a lost or changed sign may be an edit; in "41 - 15" it asks something else.
_MIN_CHARS_BEYOND_SIGNS = 40
# A sample is compared with so many kept ones of a bucket at most: templates fill buckets with
# samples that are none of them copies.
_MAX_COMPARED = 64
# A cluster may hold this share of all samples, and so many at least.
_MAX_CLUSTER_SHARE = 0.01
_MIN_CLUSTER_CAP = 50
# In a large bucket each sample is compared with the first and with so many before it.
_MAX_NEIGHBOURS = 8
# Tells the n-grams of responses from those of prompts.
_PART_TAG = np.uint64(0xA5A5A5A5A5A5A5A5)


@dataclass(frozen=True)
class Texts:
    """A sample's prompt and response in the compact form, and the facts of both."""

    prompt: str
    response: str
    prompt_facts: str
    response_facts: str
    exact_key: int

    @property
    def parts(self) -> tuple[str, str]:
        """Prompt and response."""
        return self.prompt, self.response


def texts_of(sample: Sample) -> Texts:
    """The forms of a sample that are compared."""
    messages = [(message.role, normalise(message.content)) for message in sample.messages]
    prompt = " ".join(text for role, text in messages if role != "assistant")
    response = " ".join(text for role, text in messages if role == "assistant")
    exact_key = derive_seed(0, *(word for message in messages for word in message))
    return Texts(compact(prompt), compact(response), facts(prompt), facts(response), exact_key)


@dataclass(frozen=True)
class Duplicate:
    """A sample that repeats another one."""

    index: int
    original: int
    similarity: float


@dataclass(frozen=True)
class Sketches:
    """What is kept of every sample: N rows, in the order of the ids."""

    prompts: MinHashes
    responses: MinHashes
    prompt_numbers: UInts
    all_facts: UInts

    @classmethod
    def join(cls, parts: Sequence["Sketches"], *, num_permutations: int) -> "Sketches":
        """Sketches of successive chunks as one."""
        no_minima = np.zeros((0, num_permutations), dtype=np.uint32)
        no_facts = np.zeros(0, dtype=np.uint64)
        return cls(
            np.concatenate([no_minima, *(part.prompts for part in parts)]),
            np.concatenate([no_minima, *(part.responses for part in parts)]),
            np.concatenate([no_facts, *(part.prompt_numbers for part in parts)]),
            np.concatenate([no_facts, *(part.all_facts for part in parts)]),
        )


def sketch(samples: Sequence[Texts], *, ngram: int, num_permutations: int) -> Sketches:
    """MinHashes and hashed facts of some samples."""
    bags = gram_bags([part for texts in samples for part in texts.parts], length=ngram)
    part_of = np.repeat(np.arange(len(bags.starts) - 1) % 2, np.diff(bags.starts))
    tagged = Bags(bags.elements ^ (part_of.astype(np.uint64) * _PART_TAG), bags.starts)
    minima = min_hashes(tagged, num_permutations=num_permutations)
    prompt_numbers = [derive_seed(0, numbers(texts.prompt_facts)) for texts in samples]
    all_facts = [derive_seed(0, texts.prompt_facts, texts.response_facts) for texts in samples]
    return Sketches(
        minima[0::2],
        minima[1::2],
        np.array(prompt_numbers, dtype=np.uint64),
        np.array(all_facts, dtype=np.uint64),
    )


class Comparison:
    """Exact similarity of two samples, of which only sketches are held.

    Args:
        read: the texts of a sample, by its index.
        boilerplate: what does not count as agreement.
        ngram: characters in an n-gram.
    """

    def __init__(
        self, read: Callable[[int], Texts], *, boilerplate: Boilerplate, ngram: int
    ) -> None:
        self._ngram = ngram
        self.boilerplate = boilerplate
        self.texts = read
        self.bags = lru_cache(maxsize=20_000)(self._bags)

    def _bags(self, index: int) -> tuple[Bags, Bags]:
        return self.bags_of_parts(self.texts(index).parts)

    def bags_of_parts(self, parts: Iterable[str]) -> tuple[Bags, Bags]:
        """The bags of each part: all n-grams, and those that are not boilerplate."""
        codes = encode([pad(part, length=self._ngram) for part in parts])
        is_own = ~self.boilerplate.covers(codes)
        return (
            bags_of(codes, length=self._ngram),
            bags_of(codes, length=self._ngram, is_counted=is_own),
        )

    def samples(self, original: int, other: int) -> float:
        """The smaller similarity of prompts and of responses; 0 where only boilerplate agrees."""
        return self._similarity(original, other, parts=(0, 1))

    def prompts(self, original: int, other: int) -> float:
        """Similarity of the prompts; 0 where only boilerplate agrees."""
        return self._similarity(original, other, parts=(0,))

    def question(self, index: int, question: Texts, *, threshold: float) -> float:
        """Similarity of a prompt to an evaluation question; 0 where it is no copy of it.

        A copy with light edits may fall below the threshold: in a short text a few changed
        characters touch most n-grams.
        """
        texts = self.texts(index)
        is_short = len(question.prompt) < _MIN_CHARS_BEYOND_SIGNS
        if is_short and texts.prompt_facts != question.prompt_facts:
            return 0.0
        mine, theirs = self.bags(index), self.bags_of_parts((question.prompt,))
        similarity = least_similarity(mine, theirs, parts=(0,))
        is_same = similarity == 1 or (
            similarity >= threshold
            and own_similarity(mine, theirs, parts=(0,)) >= MIN_OWN_SIMILARITY
        )
        is_copy = is_same or (
            similarity >= MIN_EDITED_SIMILARITY
            and is_light_edit(texts.prompt, question.prompt, boilerplate=self.boilerplate)
        )
        return similarity if is_copy else 0.0

    def _similarity(self, original: int, other: int, *, parts: tuple[int, ...]) -> float:
        mine, theirs = self.bags(original), self.bags(other)
        similarity = least_similarity(mine, theirs, parts=parts)
        if similarity == 1 or own_similarity(mine, theirs, parts=parts) >= MIN_OWN_SIMILARITY:
            return similarity
        texts = [(self.texts(each).parts) for each in (other, original)]
        is_copy = similarity >= MIN_EDITED_SIMILARITY and all(
            is_light_edit(texts[0][part], texts[1][part], boilerplate=self.boilerplate)
            for part in parts
        )
        return similarity if is_copy else 0.0


def least_similarity(
    first: tuple[Bags, Bags], second: tuple[Bags, Bags], *, parts: tuple[int, ...]
) -> float:
    """Jaccard similarity of the least similar part."""
    return min(jaccard(first[0].bag(part), second[0].bag(part)) for part in parts)


def own_similarity(
    first: tuple[Bags, Bags], second: tuple[Bags, Bags], *, parts: tuple[int, ...]
) -> float:
    """Jaccard similarity of all parts together without their boilerplate."""
    mine, other = (
        np.concatenate([bags[1].bag(part) ^ (np.uint64(part) * _PART_TAG) for part in parts])
        for bags in (first, second)
    )
    return jaccard(mine, other)


def find_exact_duplicates(exact_keys: UInts, *, order: Ints) -> list[Duplicate]:
    """Samples that are equal after normalising; the first in ``order`` is the original."""
    keys = exact_keys[order]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    originals = first[inverse]
    places = np.flatnonzero(originals != np.arange(len(keys)))
    return [Duplicate(int(order[p]), int(order[originals[p]]), 1.0) for p in places]


def find_near_duplicates(
    sketches: Sketches, *, order: Ints, compare: Comparison, threshold: float
) -> list[Duplicate]:
    """Samples that are at least ``threshold`` similar to an earlier one that is kept.

    Args:
        sketches: of all samples, by index.
        order: indexes of the samples to look at, in the order of their ids.
        compare: the exact similarity.
        threshold: least Jaccard similarity.
    """
    minima = np.minimum(sketches.prompts[order], sketches.responses[order])
    buckets: dict[int, list[list[int]]] = {}
    for keys in band_keys(minima, salts=sketches.all_facts[order], threshold=threshold):
        for members in shared_buckets(keys):
            kept: list[int] = []
            for place in members:
                buckets.setdefault(int(place), []).append(kept)
    found = []
    for place in sorted(buckets):
        candidates = sorted({each for kept in buckets[place] for each in kept[:_MAX_COMPARED]})
        index = int(order[place])
        best = _best(index, [int(order[each]) for each in candidates], compare.samples)
        if best and best.similarity >= threshold:
            found.append(best)
        else:
            for kept in buckets[place]:
                kept.append(place)
    return found


def _best(
    index: int, candidates: list[int], similarity: Callable[[int, int], float]
) -> Duplicate | None:
    pairs = [Duplicate(index, other, similarity(other, index)) for other in candidates]
    return max(pairs, key=lambda pair: pair.similarity, default=None)


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

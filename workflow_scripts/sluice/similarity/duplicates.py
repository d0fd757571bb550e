"""Exact and near duplicates of samples.

Two samples are near duplicates where they are similar as a whole and so are, each by itself, their
prompts and their responses: the same prompt with another answer is no copy. They also have the same
numbers in the same order and the same signs, and still agree by half when `Boilerplate` is taken
away, or differ by light edits only: "what is 17 + 25?" and "what is 17 + 26?", or two lists in one
template, are never taken for copies.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sluice.records import Sample
from sluice.seeds import derive_seed
from sluice.similarity.boilerplate import Boilerplate
from sluice.similarity.edits import is_light_edit
from sluice.similarity.minhash import (
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
from sluice.similarity.text_forms import Ints, UInts, compact, encode, facts, normalise, numbers

# Without boilerplate, so much similarity must remain.
MIN_OWN_SIMILARITY = 0.5
# Three edits in sixty characters leave so much similarity of 5-grams.
MIN_EDITED_SIMILARITY = 0.5
# In a longer text one lost or changed sign may be an edit; in "41 - 15" it asks something else.
_MIN_CHARS_BEYOND_SIGNS = 40
_MAX_SIGNS_CHANGED = 2
# A sample is compared with so many kept ones of a bucket at most: templates fill buckets with
# samples that are none of them copies.
_MAX_COMPARED = 64
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

    @property
    def facts(self) -> tuple[str, str]:
        """Numbers and signs of prompt and response."""
        return self.prompt_facts, self.response_facts


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
    all_numbers: UInts

    @classmethod
    def join(cls, parts: Sequence["Sketches"], *, num_permutations: int) -> "Sketches":
        """Sketches of successive chunks as one."""
        no_minima = np.zeros((0, num_permutations), dtype=np.uint32)
        no_facts = np.zeros(0, dtype=np.uint64)
        return cls(
            np.concatenate([no_minima, *(part.prompts for part in parts)]),
            np.concatenate([no_minima, *(part.responses for part in parts)]),
            np.concatenate([no_facts, *(part.prompt_numbers for part in parts)]),
            np.concatenate([no_facts, *(part.all_numbers for part in parts)]),
        )


def sketch(samples: Sequence[Texts], *, ngram: int, num_permutations: int) -> Sketches:
    """MinHashes and hashed facts of some samples."""
    bags = gram_bags([part for texts in samples for part in texts.parts], length=ngram)
    part_of = np.repeat(np.arange(len(bags.starts) - 1) % 2, np.diff(bags.starts))
    tagged = Bags(bags.elements ^ (part_of.astype(np.uint64) * _PART_TAG), bags.starts)
    minima = min_hashes(tagged, num_permutations=num_permutations)
    prompt_numbers = [derive_seed(0, numbers(texts.prompt_facts)) for texts in samples]
    all_numbers = [derive_seed(0, *map(numbers, texts.facts)) for texts in samples]
    return Sketches(
        minima[0::2],
        minima[1::2],
        np.array(prompt_numbers, dtype=np.uint64),
        np.array(all_numbers, dtype=np.uint64),
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

    def samples(self, original: int, other: int, *, threshold: float) -> float:
        """Similarity of two samples, prompt and response together; 0 where they are no copies.

        In copies each part is similar by itself, or lightly edited: a short answer that differs is
        not outweighed by a long prompt.
        """
        mine, theirs = self.bags(original), self.bags(other)
        similarity = joint_similarity(mine[0], theirs[0])
        texts = self.texts(original), self.texts(other)
        if similarity < threshold or not all(says_the_same(*texts, part=part) for part in (0, 1)):
            return 0.0
        alike = [jaccard(mine[0].bag(part), theirs[0].bag(part)) for part in (0, 1)]
        edited = [self._is_light_edit(original, other, part=part) for part in (0, 1)]
        is_own = joint_similarity(mine[1], theirs[1]) >= MIN_OWN_SIMILARITY or all(edited)
        is_copy = all(
            each >= threshold or is_edit for each, is_edit in zip(alike, edited, strict=True)
        )
        return similarity if is_copy and is_own else 0.0

    def prompts(self, original: int, other: int) -> float:
        """Similarity of the prompts; 0 where only boilerplate agrees."""
        mine, theirs = self.bags(original), self.bags(other)
        similarity = jaccard(mine[0].bag(0), theirs[0].bag(0))
        if similarity == 1 or jaccard(mine[1].bag(0), theirs[1].bag(0)) >= MIN_OWN_SIMILARITY:
            return similarity
        is_close = similarity >= MIN_EDITED_SIMILARITY
        return similarity if is_close and self._is_light_edit(original, other, part=0) else 0.0

    def question(self, index: int, question: Texts, *, threshold: float) -> float:
        """Similarity of a prompt to an evaluation question; 0 where it is no copy of it.

        A copy with light edits may fall below the threshold: in a short text a few changed
        characters touch most n-grams.
        """
        texts = self.texts(index)
        if not says_the_same(texts, question, part=0):
            return 0.0
        mine, theirs = self.bags(index), self.bags_of_parts((question.prompt,))
        similarity = jaccard(mine[0].bag(0), theirs[0].bag(0))
        is_same = similarity == 1 or (
            similarity >= threshold
            and jaccard(mine[1].bag(0), theirs[1].bag(0)) >= MIN_OWN_SIMILARITY
        )
        is_copy = is_same or (
            similarity >= MIN_EDITED_SIMILARITY
            and is_light_edit(texts.prompt, question.prompt, boilerplate=self.boilerplate)
        )
        return similarity if is_copy else 0.0

    def _is_light_edit(self, original: int, other: int, *, part: int) -> bool:
        return is_light_edit(
            self.texts(other).parts[part],
            self.texts(original).parts[part],
            boilerplate=self.boilerplate,
        )


def says_the_same(first: Texts, second: Texts, *, part: int) -> bool:
    """Whether two parts have the same numbers and signs; in a long text one sign may be edited."""
    mine, other = first.facts[part], second.facts[part]
    if mine == other or numbers(mine) != numbers(other):
        return mine == other
    signs, other_signs = Counter(mine.split()), Counter(other.split())
    num_changed = (signs - other_signs).total() + (other_signs - signs).total()
    is_long = len(second.parts[part]) >= _MIN_CHARS_BEYOND_SIGNS
    return is_long and num_changed <= _MAX_SIGNS_CHANGED


def joint_similarity(first: Bags, second: Bags) -> float:
    """Jaccard similarity of prompt and response together; an n-gram counts in its own part only."""
    bags = (np.concatenate([bags.bag(0), bags.bag(1) ^ _PART_TAG]) for bags in (first, second))
    return jaccard(*bags)


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
    for keys in band_keys(minima, salts=sketches.all_numbers[order], threshold=threshold):
        for members in shared_buckets(keys):
            kept: list[int] = []
            for place in members:
                buckets.setdefault(int(place), []).append(kept)
    found = []
    for place in sorted(buckets):
        candidates = sorted({each for kept in buckets[place] for each in kept[:_MAX_COMPARED]})
        index = int(order[place])
        pairs = [
            Duplicate(index, original, compare.samples(original, index, threshold=threshold))
            for original in map(int, order[candidates])
        ]
        best = max(pairs, key=lambda pair: pair.similarity, default=None)
        if best and best.similarity >= threshold:
            found.append(best)
        else:
            for kept in buckets[place]:
                kept.append(place)
    return found

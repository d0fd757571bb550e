"""Bags of n-grams, their Jaccard similarity, and MinHash to find similar ones without all pairs.

Bags, not sets: the second occurrence of an n-gram is an element of its own, so that a text and its
endless repetition differ. MinHash only proposes pairs; every pair is then compared exactly.
Source: Broder, "On the resemblance and containment of documents", 1997; banding as in Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", 3.4.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sluice.similarity.text_forms import Bools, Codes, Ints, UInts, encode, grams, mix

# A pair exactly at the threshold is proposed with at least this probability.
_MIN_RECALL = 0.999
_HASH_BITS = 40
_LOW_BITS = np.uint64((1 << _HASH_BITS) - 1)

MinHashes = NDArray[np.uint32]


@dataclass(frozen=True)
class Bags:
    """Elements of several bags; bag i is ``elements[starts[i]:starts[i + 1]]``, each one unique."""

    elements: UInts
    starts: Ints

    def bag(self, index: int) -> UInts:
        """The elements of one bag."""
        return self.elements[self.starts[index] : self.starts[index + 1]]


def pad(text: str, *, length: int) -> str:
    """A text shorter than an n-gram becomes a single n-gram."""
    return text.ljust(length, "\0")


def gram_bags(texts: Sequence[str], *, length: int) -> Bags:
    """The bag of n-grams of each compact text; an empty text has one element."""
    codes = encode([pad(text, length=length) for text in texts])
    return bags_of(codes, length=length)


def bags_of(codes: Codes, *, length: int, is_counted: Bools | None = None) -> Bags:
    """The bag of n-grams of each encoded text.

    Args:
        codes: the texts.
        length: characters in an n-gram.
        is_counted: per place; an n-gram counts where any of its places does. All do where None.
    """
    found = grams(codes, length=length)
    owners, hashes = found.owners, found.hashes
    if is_counted is not None:
        before = np.concatenate([[0], np.cumsum(is_counted)])
        is_kept = before[found.places + length] > before[found.places]
        owners, hashes = owners[is_kept], hashes[is_kept]
    shift = np.uint64(_HASH_BITS)
    keys = np.sort((owners.astype(np.uint64) << shift) | (hashes >> np.uint64(64 - _HASH_BITS)))
    elements = mix((keys & _LOW_BITS) | (_occurrences(keys) << shift))
    num_texts = len(codes.starts) - 1
    starts = np.searchsorted(keys >> shift, np.arange(num_texts + 1, dtype=np.uint64))
    return Bags(elements, starts.astype(np.int64))


def _occurrences(sorted_keys: UInts) -> UInts:
    """0 for the first of equal keys, 1 for the second, and so on."""
    places = np.arange(len(sorted_keys))
    is_first = np.ones(len(sorted_keys), dtype=bool)
    is_first[1:] = sorted_keys[1:] != sorted_keys[:-1]
    firsts = np.maximum.accumulate(np.where(is_first, places, 0)) if len(places) else places
    return (places - firsts).astype(np.uint64)


def jaccard(first: UInts, second: UInts) -> float:
    """Size of the intersection over size of the union; 0 where both are empty."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    union = len(first) + len(second) - shared
    return shared / union if union else 0.0


def min_hashes(bags: Bags, *, num_permutations: int) -> MinHashes:
    """One minimum per bag and permutation, (number of bags, P). No bag may be empty.

    A permutation of the 32-bit numbers is an odd factor and a summand, both fixed constants: which
    pairs are proposed is the same in every run.
    """
    numbers = (bags.elements >> np.uint64(32)).astype(np.uint32)
    draws = mix(np.arange(2 * num_permutations, dtype=np.uint64)).astype(np.uint32)
    factors, summands = draws[0::2] | np.uint32(1), draws[1::2]
    minima = np.empty((len(bags.starts) - 1, num_permutations), dtype=np.uint32)
    for index in range(num_permutations):
        permuted = numbers * factors[index] + summands[index]
        minima[:, index] = np.minimum.reduceat(permuted, bags.starts[:-1])
    return minima


def rows_per_band(threshold: float, *, num_permutations: int) -> int:
    """The most rows that still propose a pair at the threshold almost surely: fewest wrong ones."""
    for rows in range(num_permutations, 1, -1):
        missed = (1 - threshold**rows) ** (num_permutations // rows)
        if missed <= 1 - _MIN_RECALL:
            return rows
    return 1


def band_keys(minima: MinHashes, *, salts: UInts, threshold: float) -> Iterator[UInts]:
    """Yields, band by band, one key per bag; similar bags of one salt share a key in some band."""
    num_permutations = minima.shape[1]
    rows = rows_per_band(threshold, num_permutations=num_permutations)
    for start in range(0, num_permutations - rows + 1, rows):
        keys = salts
        for column in range(start, start + rows):
            keys = mix(keys ^ minima[:, column].astype(np.uint64))
        yield keys


def shared_buckets(keys: UInts) -> Iterator[Ints]:
    """Yields the indexes, ascending, of every key that more than one bag has."""
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order])) + 1
    bounds = np.concatenate([[0], edges, [len(keys)]])
    for place in np.flatnonzero(np.diff(bounds) > 1):
        yield order[bounds[place] : bounds[place + 1]]

"""Text that many samples of a dataset share: templates and set phrases, which prove no overlap.

A character is boilerplate where it lies in a run of eight that more than a given share of the
samples contain. What remains, names and wording of its own, tells one sample from another.
"""

from collections.abc import Sequence

import numpy as np

from sluice.similarity.text_forms import Bools, Codes, Ints, UInts, encode, grams

_RUN_LENGTH = 8
# Counts are kept by a hash of so many bits; a collision can only make a run look more common.
_TABLE_BITS = 22
_SLOT_MASK = (1 << _TABLE_BITS) - 1
# A run in so many samples stands elsewhere too, not only in a sample and its copy.
_MIN_KNOWN = 3
# Copies of one sample are no boilerplate, however small the dataset.
_MIN_SAMPLES = 10


class Boilerplate:
    """In how many samples each run of characters occurs.

    Args:
        share: a run in more than this share of the samples (and in more than ten) is boilerplate.
    """

    def __init__(self, *, share: float) -> None:
        self._share = share
        self._num_samples = 0
        self._counts = np.zeros(1 << _TABLE_BITS, dtype=np.int64)

    def count(self, samples: Sequence[Sequence[str]]) -> None:
        """Counts the compact texts of some samples; a run counts once for each sample."""
        self._num_samples += len(samples)
        codes = encode([text for texts in samples for text in texts])
        found = grams(codes, length=_RUN_LENGTH)
        sample_of = np.repeat(np.arange(len(samples)), [len(texts) for texts in samples])
        owners = sample_of[found.owners] << _TABLE_BITS
        # Sorted and compared: np.unique took ten times as long on a million keys.
        keys = np.sort(owners | _slots(found.hashes))
        is_first = np.ones(len(keys), dtype=bool)
        is_first[1:] = keys[1:] != keys[:-1]
        self._counts += np.bincount(keys[is_first] & _SLOT_MASK, minlength=1 << _TABLE_BITS)

    def covers(self, codes: Codes) -> Bools:
        """Which places of encoded texts are boilerplate."""
        found = grams(codes, length=_RUN_LENGTH)
        limit = max(_MIN_SAMPLES, self._share * self._num_samples)
        starts = found.places[self._counts[_slots(found.hashes)] > limit]
        depth = np.zeros(len(codes.values) + 1, dtype=np.int64)
        np.add.at(depth, starts, 1)
        np.add.at(depth, starts + _RUN_LENGTH, -1)
        return np.cumsum(depth[:-1]) > 0

    def known_share(self, codes: Codes, first: int, last: int) -> float:
        """Share of the runs across places [first, last) of one text that other samples have.

        Where first and last are the same, the runs across the seam before that place.
        """
        found = grams(codes, length=_RUN_LENGTH)
        is_across = (found.places < last) & (found.places + _RUN_LENGTH > first)
        counts = self._counts[_slots(found.hashes[is_across])]
        return float(np.mean(counts >= _MIN_KNOWN)) if len(counts) else 0.0


def _slots(hashes: UInts) -> Ints:
    return (hashes >> np.uint64(64 - _TABLE_BITS)).astype(np.int64)

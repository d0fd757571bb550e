"""Text that many samples of a dataset share: templates and set phrases, which prove no overlap.

A character is boilerplate where it lies in a run of eight that more than a given share of the
samples contain. What remains, names and wording of its own, tells one sample from another.
"""

from collections.abc import Sequence

import numpy as np

from sluice.data.text_forms import Bools, Codes, encode, grams

_RUN_LENGTH = 8
# Counts are kept by a hash of so many bits; a collision can only make a run look more common.
_TABLE_BITS = 22
_HASH_BITS = 40
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
        shift = np.uint64(_HASH_BITS)
        owners = sample_of[found.owners].astype(np.uint64) << shift
        keys = np.unique(owners | (found.hashes >> np.uint64(64 - _HASH_BITS)))
        slots = keys & np.uint64((1 << _TABLE_BITS) - 1)
        self._counts += np.bincount(slots.astype(np.int64), minlength=1 << _TABLE_BITS)

    def covers(self, codes: Codes) -> Bools:
        """Which places of encoded texts are boilerplate."""
        found = grams(codes, length=_RUN_LENGTH)
        slots = (found.hashes >> np.uint64(64 - _HASH_BITS)) & np.uint64((1 << _TABLE_BITS) - 1)
        limit = max(_MIN_SAMPLES, self._share * self._num_samples)
        starts = found.places[self._counts[slots.astype(np.int64)] > limit]
        depth = np.zeros(len(codes.values) + 1, dtype=np.int64)
        np.add.at(depth, starts, 1)
        np.add.at(depth, starts + _RUN_LENGTH, -1)
        return np.cumsum(depth[:-1]) > 0

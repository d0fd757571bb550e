"""What every step sees: a pure function of seed and step, so that a run can go on anywhere.

A step's rows are divided into parts, one per process, and each part into passes; the loss counts
each target token once, whatever the division.
"""

# Shape letters: B samples or rows, T tokens.

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sluice.base.batches import plan_batches
from sluice.base.modeling import IGNORED
from sluice.base.packing import PackedRows
from sluice.chat import EncodedSample
from sluice.errors import ConfigError, DataError
from sluice.settings.base_model import TrainBaseModel

Pass = tuple[Tensor, Tensor]
"""input_ids_BT and target_ids_BT, int64; -100 where a target is not asked for."""


class Steps(Protocol):
    """The rows of every step."""

    def passes(self, step: int, *, process: int, num_processes: int) -> Sequence[Pass]:
        """What one process sees, pass by pass."""

    def num_targets(self, step: int) -> int:
        """Target tokens of all passes of all processes."""

    def num_tokens(self, step: int) -> int:
        """Tokens of all passes of all processes, padding left out."""


class SampleSteps:
    """Canonical samples, padded on the right; the loss is on response tokens.

    Args:
        samples: the corpus, as tokens.
        settings: budget and seed.
        pad_token_id: fills short samples.
    Raises:
        DataError: no sample has a response token.
    """

    def __init__(
        self, samples: Sequence[EncodedSample], settings: TrainBaseModel, *, pad_token_id: int
    ) -> None:
        self._samples = [sample for sample in samples if any(sample.is_response[1:])]
        if not self._samples:
            raise DataError("no sample of the corpus has a response to learn from")
        self._plan = plan_batches(
            [len(sample.input_ids) for sample in self._samples],
            batch_size=settings.batch_size,
            num_steps=settings.num_steps,
            seed=settings.seed,
        )
        self._accumulation = settings.accumulation
        self._pad_token_id = pad_token_id

    def passes(self, step: int, *, process: int, num_processes: int) -> list[Pass]:
        """What one process sees, pass by pass."""
        shares = divide(len(self._plan[step]), num_processes * self._accumulation)
        own = shares[process * self._accumulation : (process + 1) * self._accumulation]
        batch = [self._samples[index] for index in self._plan[step]]
        return [pad_batch(batch[share], pad=self._pad_token_id) for share in own]

    def num_targets(self, step: int) -> int:
        """Response tokens of the step; the first token of a sample is never a target."""
        return sum(sum(self._samples[index].is_response[1:]) for index in self._plan[step])

    def num_tokens(self, step: int) -> int:
        """Tokens of the step's samples."""
        return sum(len(self._samples[index].input_ids) for index in self._plan[step])


class PackedSteps:
    """Rows of packed text, all of them full; every token but a row's first is a target."""

    def __init__(self, rows: PackedRows, settings: TrainBaseModel) -> None:
        self._rows = rows
        self._batch_size = settings.batch_size
        self._accumulation = settings.accumulation

    def passes(self, step: int, *, process: int, num_processes: int) -> list[Pass]:
        """What one process sees, pass by pass."""
        shares = divide(self._batch_size, num_processes * self._accumulation)
        own = shares[process * self._accumulation : (process + 1) * self._accumulation]
        first = step * self._batch_size
        return [
            as_pass([self._rows[first + place] for place in range(share.start, share.stop)])
            for share in own
        ]

    def num_targets(self, step: int) -> int:
        """The same for every step."""
        return self._batch_size * self._rows.row_tokens

    def num_tokens(self, step: int) -> int:
        """The same for every step."""
        return self.num_targets(step)


def divide(num_rows: int, num_shares: int) -> list[slice]:
    """A step's rows in shares of as equal size as can be, none of them empty.

    Raises:
        ConfigError: there are more shares than rows.
    """
    if num_rows < num_shares:
        raise ConfigError(
            f"a step of {num_rows} rows cannot be divided into {num_shares} passes",
            expected="batch_size of at least accumulation x num_processes",
        )
    ends = [number * num_rows // num_shares for number in range(num_shares + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def as_pass(rows: Sequence[np.ndarray]) -> Pass:
    """Rows of T + 1 tokens -> inputs and the tokens after them, T each."""
    ids = torch.from_numpy(np.stack(rows).astype(np.int64))
    return ids[:, :-1], ids[:, 1:]


def pad_batch(samples: Sequence[EncodedSample], *, pad: int) -> Pass:
    """Samples -> input_ids_BT and target_ids_BT, the last token of each as target only."""
    longest = max(len(sample.input_ids) for sample in samples) - 1
    input_ids_BT = torch.full((len(samples), longest), pad)
    target_ids_BT = torch.full((len(samples), longest), IGNORED)
    for row, sample in enumerate(samples):
        ids = torch.tensor(sample.input_ids)
        is_response = torch.tensor(sample.is_response)
        input_ids_BT[row, : len(ids) - 1] = ids[:-1]
        target_ids_BT[row, : len(ids) - 1] = torch.where(is_response[1:], ids[1:], IGNORED)
    return input_ids_BT, target_ids_BT

"""Which samples a step sees, and how they are laid out for the model.

A step's samples are a pure function of seed and step. Only then are they divided among processes
and forward passes, by length: what a step computes depends on neither, so that little padding costs
nothing else.
"""

# Shape letters: B rows, T tokens of a row, N target tokens of all rows.

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from sluice.seeds import derive_seed


@dataclass(frozen=True)
class TrainingSample:
    """Tokens of one sample, and what each counts in its loss."""

    id: str
    input_ids: tuple[int, ...]
    token_weights: tuple[float, ...]
    """Of predicting token t from those before it; 0 where it is not trained on."""
    weight: float
    """Of the sample in the data set."""
    group: str | None
    prompt: str
    """What stands before the first response; samples that share it are never parted."""

    @property
    def num_targets(self) -> int:
        """Tokens that are trained on."""
        return sum(weight > 0 for weight in self.token_weights)


def plan_steps(num_samples: int, *, step_size: int, num_steps: int, seed: int) -> list[list[int]]:
    """The sample indices of every step.

    Every epoch sees every sample once, in an order of its own; its last step may be smaller.
    """
    steps: list[list[int]] = []
    epoch = 0
    while len(steps) < num_steps:
        order = list(range(num_samples))
        random.Random(derive_seed(seed, "plan_steps", epoch)).shuffle(order)
        steps.extend(order[i : i + step_size] for i in range(0, num_samples, step_size))
        epoch += 1
    return steps[:num_steps]


def count_steps(
    num_samples: int, *, step_size: int, num_epochs: float, max_steps: int | None
) -> int:
    """Optimiser steps in all."""
    return max_steps or math.ceil(num_epochs * math.ceil(num_samples / step_size))


def lay_out(
    lengths: Sequence[int], *, batch_size: int, num_processes: int, row_tokens: int | None = None
) -> list[list[list[int]]]:
    """Divides samples into forward passes: process -> pass -> sample indices.

    Every process gets the same number of passes, since some launchers wait for each other in each;
    a pass may be empty. Samples of like length go together.

    Args:
        lengths: tokens of each sample.
        batch_size: most samples of a pass, where rows are padded.
        num_processes: how many share the work.
        row_tokens: most tokens of a packed row; a pass is then one row. None: rows are padded.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    if row_tokens is None:
        count = math.ceil(len(order) / (batch_size * num_processes)) * num_processes
        bounds = [round(len(order) * part / count) for part in range(count + 1)]
        groups = [order[start:end] for start, end in pairwise(bounds)]
    else:
        groups = _fill_rows(order, lengths, row_tokens=row_tokens)
        groups += [[]] * (-len(groups) % num_processes)
    return [groups[process::num_processes] for process in range(num_processes)]


def _fill_rows(order: Sequence[int], lengths: Sequence[int], *, row_tokens: int) -> list[list[int]]:
    """First fit, longest first."""
    rows: list[list[int]] = []
    room: list[int] = []
    for index in order:
        length = lengths[index]
        row = next((row for row, left in enumerate(room) if left >= length), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(row_tokens)
        rows[row].append(index)
        room[row] -= length
    return rows


def token_coefficients(sample: TrainingSample, *, weight_sum: float) -> list[float]:
    """What each target token's loss counts in the step: w u_t / (sum of u x weight_sum).

    The sum over a step's tokens of coefficient x NLL is then sum(w l) / weight_sum, however the
    tokens are divided among forward passes.

    Args:
        sample: its weight w and token weights u.
        weight_sum: samples in the step x mean weight of the data set.
    """
    total = math.fsum(sample.token_weights)
    factor = sample.weight / (total * weight_sum)
    return [weight * factor for weight in sample.token_weights if weight > 0]


def collate(
    samples: Sequence[TrainingSample],
    *,
    weight_sum: float,
    pad_token_id: int,
    is_packed: bool = False,
) -> dict[str, Tensor]:
    """The tensors of one forward pass.

    Rows are padded on the right, where causal attention cannot see it. A packed row carries
    position ids that begin anew with each sample, and a mask that keeps samples apart. The last
    token of a sample is a target only. Without samples a pass of one token that counts nothing is
    made.

    Returns:
        input_ids: int64 (B, T). position_ids: int64 (1, T), packed only. attention_mask: bool
        (1, 1, T, T), packed only; True where row sees column. target_places: int64 (N,), in the
        flattened (B x T). target_ids: int64 (N,). coefficients: float32 (N,).
    """
    if not samples:
        return _empty_pass(pad_token_id)
    inputs = [torch.tensor(sample.input_ids[:-1]) for sample in samples]
    if is_packed:
        starts = [0]
        for row in inputs[:-1]:
            starts.append(starts[-1] + len(row))
        batch = _pack(inputs)
    else:
        width = max(len(row) for row in inputs)
        starts = [row * width for row in range(len(inputs))]
        padded = torch.full((len(inputs), width), pad_token_id)
        for index, ids in enumerate(inputs):
            padded[index, : len(ids)] = ids
        batch = {"input_ids": padded}
    places: list[int] = []
    targets: list[int] = []
    coefficients: list[float] = []
    for sample, start in zip(samples, starts, strict=True):
        trained = [t for t, weight in enumerate(sample.token_weights) if weight > 0]
        places.extend(start + t - 1 for t in trained)
        targets.extend(sample.input_ids[t] for t in trained)
        coefficients.extend(token_coefficients(sample, weight_sum=weight_sum))
    return {
        **batch,
        "target_places": torch.tensor(places),
        "target_ids": torch.tensor(targets),
        "coefficients": torch.tensor(coefficients, dtype=torch.float32),
    }


def _pack(inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    owner_T = torch.cat([torch.full((len(row),), index) for index, row in enumerate(inputs)])
    is_visible_TT = (owner_T[:, None] == owner_T[None, :]).tril()
    return {
        "input_ids": torch.cat(list(inputs))[None],
        "position_ids": torch.cat([torch.arange(len(row)) for row in inputs])[None],
        "attention_mask": is_visible_TT[None, None],
    }


def _empty_pass(pad_token_id: int) -> dict[str, Tensor]:
    return {
        "input_ids": torch.tensor([[pad_token_id]]),
        "target_places": torch.tensor([0]),
        "target_ids": torch.tensor([pad_token_id]),
        "coefficients": torch.zeros(1),
    }

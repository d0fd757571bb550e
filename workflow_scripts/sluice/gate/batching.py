"""Batches of sequences of like length, bounded in tokens."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

_SAMPLES_PER_BLOCK = 512


def block_numbers(ids: Iterable[str]) -> dict[str, int]:
    """Sample id -> number of its block: the ids sorted, cut into blocks of 512.

    Batches stay within a block and a shard takes whole blocks, so that a sample is computed beside
    the same others, to the same bytes, whatever the number of shards.
    """
    return {id: place // _SAMPLES_PER_BLOCK for place, id in enumerate(sorted(ids))}


def split_by_tokens(lengths: Sequence[int], *, tokens_per_batch: int) -> list[list[int]]:
    """Indices of sequences, in batches that hold at most so many tokens, padding included.

    Longest first, so that memory runs out at once or never; equal lengths keep their order. A
    sequence that is longer than the budget is a batch of its own.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        width = lengths[batches[-1][0]] if batches else 0
        if batches and (len(batches[-1]) + 1) * width <= tokens_per_batch:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def pad_tokens(token_ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token lists as one int64 array (B, T) padded on the right, and 1 where a token is real.

    Padding stands on the right, where a causal model's real tokens cannot see it.
    """
    lengths_B = torch.tensor([len(ids) for ids in token_ids])
    width = int(lengths_B.max())
    input_BT = torch.zeros(len(token_ids), width, dtype=torch.int64)
    for row, ids in enumerate(token_ids):
        input_BT[row, : len(ids)] = torch.as_tensor(ids)
    return input_BT, (torch.arange(width) < lengths_B[:, None]).to(torch.int64)

"""The attention cache of a batch, taken apart by columns and put together again, bit for bit.

Shape letters: B rows of the cache, H key-value heads, T columns, D numbers a head.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

Layers = list[list[Tensor]]
"""Of each layer keys and values, (B, H, T, D); an empty list where it has none of its own."""

# Their frequencies depend on how many tokens are read at once.
_ROPES_BY_LENGTH = ("longrope", "dynamic")


def is_by_columns(cache: Any, config: Any) -> bool:
    """Whether what a token's column holds depends on that token and those before it alone.

    Only then may prompts be read in parts, and the cache be taken apart. A state that sums up all
    tokens has no columns, and some rotary embeddings look at the whole length.

    Args:
        cache: of the model.
        config: of its text model.
    """
    from transformers.cache_utils import DummyLayer, DynamicLayer, DynamicSlidingWindowLayer

    kinds = (DummyLayer, DynamicLayer, DynamicSlidingWindowLayer)
    ropes = str(getattr(config, "rope_parameters", ""))  # nested by kind of layer in some models
    has_columns = all(type(layer) in kinds for layer in cache.layers)
    return has_columns and not any(rope in ropes for rope in _ROPES_BY_LENGTH)


def column_bytes(cache: Any) -> float:
    """Bytes of one column of one row, all layers together."""
    tensors = [tensor for layer in cache.layers for tensor in _tensors(layer)]
    return sum(tensor.nbytes / (tensor.shape[0] * tensor.shape[-2]) for tensor in tensors)


def take_columns(
    cache: Any, rows: Sequence[int], *, first: int, last: int, num_columns: int
) -> Layers:
    """Columns from ``first`` to before ``last`` of some rows, copied to the CPU.

    Layers with a sliding window have forgotten some of the earlier columns: of them only what is
    still there.

    Args:
        cache: that is read from.
        rows: of the cache.
        first: column.
        last: column.
        num_columns: read in all, forgotten ones included.
    """
    taken = []
    for layer in cache.layers:
        tensors = _tensors(layer)
        num_forgotten = num_columns - tensors[0].shape[-2] if tensors else 0
        span = slice(max(0, first - num_forgotten), max(0, last - num_forgotten))
        taken.append([tensor[list(rows), :, span].cpu() for tensor in tensors])
    return taken


def fill(
    cache: Any,
    parts: Iterable[tuple[Layers, Sequence[int]]],
    *,
    num_columns: int,
    device: torch.device,
) -> None:
    """Puts columns into an empty cache, a layer at a time: files that are mapped stay on disk.

    Args:
        cache: of the model that wrote them.
        parts: columns of `take_columns` in their order, and which of their rows are wanted.
        num_columns: read in all, forgotten ones included.
        device: where the model is.
    """
    parts = list(parts)
    for index, layer in enumerate(cache.layers):
        columns = [[tensor[list(rows)] for tensor in layers[index]] for layers, rows in parts]
        joined = [torch.cat(each, dim=-2).to(device) for each in zip(*columns, strict=True)]
        if joined:
            cache.update(*joined, index)
        if getattr(layer, "is_sliding", False):
            layer.cumulative_length = num_columns


def _tensors(layer: Any) -> list[Tensor]:
    """Keys and values; none of a layer that uses another one's, or that has read nothing yet."""
    return [] if layer.keys is None else [layer.keys, layer.values]

"""The attention cache of a batch, taken apart by columns and put together again, bit for bit.

Shape letters: B rows of the cache, H key-value heads, T columns, D numbers a head.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Layers = list[list[Tensor]]
"""Of each layer its keys and values, (B, H, T, D); an empty list where there are none to keep."""


def can_be_kept(cache: Any) -> bool:
    """Whether every layer holds columns; a state that sums up all of them cannot be taken apart."""
    from transformers.cache_utils import DummyLayer, DynamicLayer, DynamicSlidingWindowLayer

    kinds = (DummyLayer, DynamicLayer, DynamicSlidingWindowLayer)
    return all(type(layer) in kinds for layer in cache.layers)


def take_columns(cache: Any, rows: Sequence[int], *, first: int, last: int) -> Layers:
    """Columns from ``first`` to before ``last`` of some rows, copied to the CPU.

    Of layers with a sliding window nothing: they do not hold all columns; see `take_windows`.
    """
    return [
        [tensor[list(rows), :, first:last].cpu() for tensor in _tensors(layer)]
        if not _is_sliding(layer)
        else []
        for layer in cache.layers
    ]


def take_windows(cache: Any) -> Layers:
    """What layers with a sliding window hold, copied to the CPU; of other layers nothing."""
    return [
        [tensor.to("cpu", copy=True) for tensor in _tensors(layer)] if _is_sliding(layer) else []
        for layer in cache.layers
    ]


def select_rows(layers: Layers, rows: Sequence[int]) -> Layers:
    """The same columns of some rows, in the order asked for."""
    return [[tensor[list(rows)] for tensor in layer] for layer in layers]


def fill(
    cache: Any, parts: Sequence[Layers], windows: Layers, *, num_columns: int, device: Any
) -> None:
    """Puts columns and windows into an empty cache.

    Args:
        cache: of the model that wrote them.
        parts: columns of `take_columns`, of the same rows, one after the other.
        windows: of `take_windows`.
        num_columns: read in all, those that windows have forgotten included.
        device: where the model is.
    """
    for index, (window, *columns) in enumerate(zip(windows, *parts, strict=True)):
        joined = window or [torch.cat(each, dim=-2) for each in zip(*columns, strict=True)]
        if joined:
            cache.update(*(tensor.to(device) for tensor in joined), index)
        if window:
            cache.layers[index].cumulative_length = num_columns


def _is_sliding(layer: Any) -> bool:
    return bool(getattr(layer, "is_sliding", False))


def _tensors(layer: Any) -> list[Tensor]:
    return [layer.keys, layer.values] if layer.get_seq_length() else []

"""The type of numbers that a model is loaded in."""

import torch

from sluice.settings.precision import Precision


def find_dtype(precision: Precision, place: torch.device) -> torch.dtype:
    """The type that a setting names; ``auto``: bfloat16 on a GPU, float32 on a CPU."""
    if precision == "auto":
        return torch.float32 if place.type == "cpu" else torch.bfloat16
    return getattr(torch, precision)  # type: ignore[no-any-return]

"""The type of numbers that a model is loaded in."""

import torch

from sluice.settings.precision import Precision

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def find_dtype(precision: Precision, place: torch.device) -> torch.dtype:
    """The type that a setting names; ``auto``: bfloat16 on a GPU, float32 on a CPU."""
    if precision == "auto":
        return torch.float32 if place.type == "cpu" else torch.bfloat16
    return DTYPES[precision]

"""Which type of numbers a precision stands for."""

import pytest
import torch

from sluice.precision import find_dtype


@pytest.mark.parametrize(
    ("precision", "place", "dtype"),
    [
        ("auto", "cpu", torch.float32),
        ("auto", "cuda:1", torch.bfloat16),
        ("float32", "cuda", torch.float32),
        ("bfloat16", "cpu", torch.bfloat16),
        ("float16", "cuda", torch.float16),
    ],
)
def test_precision_is_the_settings_and_auto_follows_the_device(precision, place, dtype):
    assert find_dtype(precision, torch.device(place)) == dtype

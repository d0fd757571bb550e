"""A batch that memory does not hold runs in halves, or what did not fit is said."""

import logging

import pytest
import torch

from sluice.errors import DeviceError
from sluice.memory import FittingBatches, memory_explained


def fitting():
    return FittingBatches[int]("samples", tokens=lambda row: row, hint="less")


def step_for(limit, seen):
    def step(rows):
        seen.append(list(rows))
        if len(rows) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
        return sum(rows)

    return step


def test_memory_may_run_out_without_a_word():
    def step(rows):
        raise torch.OutOfMemoryError("")

    with pytest.raises(DeviceError, match="does not hold one of the samples by itself"):
        list(fitting().run(step, [1]))


def test_batch_that_fits_runs_whole():
    seen = []
    assert list(fitting().run(step_for(9, seen), [1, 2, 3])) == [6]
    assert seen == [[1, 2, 3]]


def test_batch_is_halved_until_it_fits_and_no_row_is_lost_or_doubled(caplog):
    seen, batches = [], fitting()
    with caplog.at_level(logging.WARNING, logger="sluice"):
        assert list(batches.run(step_for(2, seen), [1, 2, 3, 4, 5])) == [3, 7, 5]
    assert seen == [[1, 2, 3, 4, 5], [1, 2, 3], [1, 2], [3, 4], [5]]
    assert "out of GPU memory with 5 samples at once: going on with 3" in caplog.text
    assert "out of GPU memory with 3 samples at once: going on with 2" in caplog.text


def test_later_batches_begin_with_what_fitted():
    seen, batches = [], fitting()
    list(batches.run(step_for(2, seen), [1, 2, 3, 4]))
    seen.clear()
    assert list(batches.run(step_for(2, seen), [5, 6, 7, 8])) == [11, 15]
    assert seen == [[5, 6], [7, 8]]


def test_single_row_that_does_not_fit_is_an_error_with_the_numbers():
    with pytest.raises(DeviceError) as caught:
        list(fitting().run(step_for(0, []), [1234, 5]))
    assert "one of the samples by itself: 1,234 tokens" in str(caught.value)
    assert "Tried to allocate 2.00 GiB" in str(caught.value)
    assert "more" not in str(caught.value)
    assert caught.value.hint == "less"


def test_what_cannot_go_on_with_less_says_what_did_not_fit():
    with (
        pytest.raises(DeviceError, match="does not hold a whole model") as caught,
        memory_explained("a whole model", hint="less"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
    assert "Tried to allocate 2.00 GiB" in str(caught.value)
    assert "more" not in str(caught.value)
    assert caught.value.hint == "less"


def test_other_errors_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="size mismatch"), memory_explained("a", hint="b"):
        raise RuntimeError("size mismatch")

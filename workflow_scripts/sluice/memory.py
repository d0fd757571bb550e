"""Where a GPU's memory does not hold a batch: it is halved, or the step says what to change."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

from sluice.errors import DeviceError
from sluice.logs import get_logger

T = TypeVar("T")
R = TypeVar("R")

logger = get_logger(__name__)

_GIB = 1 << 30


class FittingBatches(Generic[T]):
    """Runs batches whole while memory holds them, and in ever smaller parts once it does not.

    Later batches begin with the parts that fitted, so that memory runs out a few times only. The
    step must give a row the same result whatever rows stand beside it, and must leave nothing
    behind where it raises.

    Args:
        what: what a row is, in the plural, for the log.
        tokens: how many tokens a row has, for the error.
        hint: what to do where not even one row fits.
    """

    def __init__(self, what: str, *, tokens: Callable[[T], int], hint: str) -> None:
        self._what = what
        self._tokens = tokens
        self._hint = hint
        self._num_parts = 1

    def run(self, step: Callable[[Sequence[T]], R], rows: Sequence[T]) -> Iterator[R]:
        """Yields the step's results, part after part, in the rows' order.

        Raises:
            DeviceError: a single row does not fit.
        """
        start = 0
        while start < len(rows):
            part = rows[start : start + math.ceil(len(rows) / self._num_parts)]
            try:
                result = step(part)
            except torch.OutOfMemoryError as error:
                reason = _reason(error)
            else:
                start += len(part)
                yield result
                continue
            # Here the failed step's tensors, which the traceback held, are gone.
            self._use_smaller_parts(part, num_rows=len(rows), reason=reason)

    def _use_smaller_parts(self, part: Sequence[T], *, num_rows: int, reason: str) -> None:
        torch.cuda.empty_cache()  # does nothing where there is no GPU
        if len(part) == 1:
            raise DeviceError(
                f"the GPU's memory does not hold one of the {self._what} by itself: "
                f"{self._tokens(part[0]):,} tokens{_memory()} ({reason})",
                hint=self._hint,
            )
        while math.ceil(num_rows / self._num_parts) >= len(part):
            self._num_parts *= 2
        logger.warning(
            "out of GPU memory with %d %s at once: going on with %d",
            *(len(part), self._what, math.ceil(num_rows / self._num_parts)),
        )


@contextmanager
def memory_explained(what: str, *, hint: str) -> Iterator[None]:
    """Says what did not fit, where the block cannot go on with less.

    Args:
        what: what memory has to hold, with its numbers.
        hint: what to change.
    Raises:
        DeviceError: memory ran out.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"the GPU's memory does not hold {what}{_memory()} ({_reason(error)})", hint=hint
        ) from error


def _reason(error: torch.OutOfMemoryError) -> str:
    return str(error).partition("\n")[0]


def _memory() -> str:
    if not torch.cuda.is_available():
        return ""
    free, total = torch.cuda.mem_get_info()
    return f", {free / _GIB:.1f} of {total / _GIB:.1f} GiB are free"

"""This process among those that torchrun has started; one alone where it has not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from sluice.processes import check_device_count, count_launched


@dataclass(frozen=True)
class Ranks:
    """Which process this is, and how many there are."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the results."""
        return self.rank == 0

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over all processes, in each; a value that one process alone holds stays exact."""
        if self.count == 1:
            return values
        place = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        total = torch.from_numpy(values).to(place)
        distributed.all_reduce(total)
        return total.cpu().numpy()

    def wait(self) -> None:
        """Returns once every process has come here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined_ranks(device: str) -> Iterator[tuple[Ranks, str]]:
    """Joins the other processes, if any, for as long as the block lasts.

    Args:
        device: of the settings; of several processes on GPUs each takes the one of its number.
    Raises:
        TrainingError: two processes would share a GPU.
    """
    count = count_launched()
    if count == 1:
        yield Ranks(), device
        return
    has_gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    if has_gpu:
        check_device_count(count)
    own_device = f"cuda:{os.environ['LOCAL_RANK']}" if has_gpu else device
    options: dict[str, Any] = {"device_id": torch.device(own_device)} if has_gpu else {}
    distributed.init_process_group("nccl" if has_gpu else "gloo", **options)
    try:
        yield Ranks(distributed.get_rank(), count), own_device
    finally:
        distributed.destroy_process_group()

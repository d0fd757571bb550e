"""One process, or several on this machine that train together."""

import os
import sys
import tempfile

from sluice.errors import TrainingError
from sluice.guarded import ending_on_signals, start_guarded, stop_guarded
from sluice.logs import get_logger

logger = get_logger(__name__)


def is_launched() -> bool:
    """Whether a launcher started this process: torchrun, `accelerate launch` and the like.

    srun by itself is none: it sets no LOCAL_RANK.
    """
    return "LOCAL_RANK" in os.environ


def count_launched() -> int:
    """How many processes the launcher started, on all machines; 1 where there is no launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def relaunch(num_processes: int) -> bool:
    """Starts this very command line once per process, where more than one is asked for.

    A process that a launcher has already started goes on, as one of as many as that one started.

    Returns:
        Whether the work has been done by the processes that were started.
    Raises:
        TrainingError: two processes would share a GPU, or one of them failed.
    """
    check_device_count(num_processes)
    if is_launched() or num_processes == 1:
        return False
    start_processes(num_processes, what="ddp")
    return True


def check_device_count(num_processes: int) -> None:
    """Refuses more processes than GPUs; where there are no GPUs, processes share the CPU.

    Args:
        num_processes: how many there will be on this machine, where no launcher has started them.
    Raises:
        TrainingError: two processes would share a GPU.
    """
    import torch

    num_gpus = torch.cuda.device_count()
    if is_launched():
        # Not all launchers say how many there are on this machine; each says which one this is.
        own_number = int(os.environ["LOCAL_RANK"]) + 1
        num_processes = int(os.environ.get("LOCAL_WORLD_SIZE", own_number))
    if num_gpus and num_processes > num_gpus:
        raise TrainingError(
            f"{num_processes} processes for {num_gpus} GPUs", expected="one per GPU"
        )


def start_processes(num_processes: int, *, what: str) -> None:
    """Runs this very command line once per process, and waits for all of them.

    They end with this process, even if it is killed.

    Args:
        num_processes: how many.
        what: how they train together, for the log.
    Raises:
        TrainingError: one of them failed; its own message stands above.
    """
    logger.info("%d processes (%s)", num_processes, what)
    # torchrun would leave a folder of its own behind.
    with tempfile.TemporaryDirectory(prefix="torchrun_") as logs, ending_on_signals():
        words = ["-m", "torch.distributed.run", "--standalone", "--no-python", "--log-dir", logs]
        # Without the dashes torchrun would take our --r for a short form of one of its own flags.
        words += ["--nproc-per-node", str(num_processes), "--", sys.executable, *sys.argv]
        launcher = start_guarded([sys.executable, *words])
        try:
            status = launcher.wait()
        finally:
            stop_guarded(launcher)
    if status:
        raise TrainingError(
            f"the training processes ended with status {status}; the reason stands above"
        )


def leave_processes() -> None:
    """Parts this process from those it trained with; it returns once all have come here.

    A process that exits while the others are still connected to it may be aborted: what connects
    them has threads of its own ("terminate called without an active exception").
    """
    from torch import distributed

    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()

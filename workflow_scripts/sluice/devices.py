"""Which GPUs a step computes on.

A cluster hands each job its GPUs. On one machine nobody does, so a step claims free ones: it locks
a file per GPU and shows itself only those whose lock it holds. The operating system lets a lock go
when its process ends, however it ends.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sluice.errors import DeviceError
from sluice.logs import get_logger

if TYPE_CHECKING:
    import torch

logger = get_logger(__name__)

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_LOOK_AGAIN_S = 0.5
_SAY_AGAIN_S = 60.0
_ON_THE_CPU = "--device cpu computes without a GPU (gate.device, or device of a task or suite)"

# Open for as long as the process lives: closing one gives its GPU back.
_held: list[IO[str]] = []


def find_gpus() -> list[str]:
    """The GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, or all of the machine's.

    Returns:
        Their names as CUDA_VISIBLE_DEVICES takes them: numbers, or UUIDs where it holds those.
    """
    visible = os.environ.get(_VISIBLE)
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    words = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else []


def take_gpus(num_gpus: int | None, *, device: str = "auto") -> None:
    """Shows this process the GPUs that it was given and no others; call it before torch computes.

    On one machine it waits until so many are free, and keeps them until it ends. In a Slurm job
    they are those that Slurm gave it.

    Args:
        num_gpus: how many; 0 hides all, None leaves everything as it is.
        device: where the step shall compute; on the CPU it claims nothing.
    Raises:
        DeviceError: there are fewer, or torch cannot use them.
    """
    if num_gpus is None or "LOCAL_RANK" in os.environ:  # a launcher's child has its parent's
        return
    place = _place()
    if num_gpus == 0 or device == "cpu":
        given = os.environ.get(_VISIBLE, "none")
        if num_gpus:
            logger.info("on the CPU, although GPU %s of %s was given to this step", given, place)
        os.environ[_VISIBLE] = ""
        return
    gpus = find_gpus()
    if len(gpus) < num_gpus:
        raise DeviceError(
            f"this step was given {num_gpus} GPUs, and {place} shows it {len(gpus)}",
            expected="as many GPUs as the rule's resource gpu says",
            hint=f"ask for fewer (--set-resources RULE:gpu=1), or {_ON_THE_CPU}",
        )
    chosen = gpus if "SLURM_JOB_ID" in os.environ else claim_gpus(gpus, num_gpus)
    os.environ[_VISIBLE] = ",".join(chosen)
    _check_torch_sees(len(chosen), place=place)
    logger.info("on GPU %s of %s", os.environ[_VISIBLE], place)


def claim_gpus(gpus: Sequence[str], num_gpus: int, *, folder: Path | None = None) -> list[str]:
    """Locks so many of the GPUs for this process, and waits until there are enough.

    Either all or none are held while it waits, so that two that need several cannot block one
    another.

    Args:
        gpus: their names.
        num_gpus: at most as many as there are.
        folder: where the lock files are; by default this user's own below the machine's /tmp.
    """
    folder = folder or _lock_folder()
    said = -_SAY_AGAIN_S
    while True:
        locks = {gpu: lock for gpu in gpus if (lock := _try_lock(folder / f"gpu-{gpu}.lock"))}
        chosen = list(locks)[:num_gpus]
        for gpu, lock in locks.items():
            if gpu not in chosen or len(chosen) < num_gpus:
                lock.close()
        if len(chosen) == num_gpus:
            _held.extend(locks[gpu] for gpu in chosen)
            return chosen
        if time.monotonic() - said >= _SAY_AGAIN_S:
            said = time.monotonic()
            logger.info(
                "waiting: %d of %d GPUs are free, %d needed", *_counts(locks, gpus, num_gpus)
            )
        time.sleep(_LOOK_AGAIN_S)


def find_device(device: str) -> "torch.device":
    """The device that a setting names; ``auto`` takes a GPU where this process sees one.

    Raises:
        DeviceError: there is no such device.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    try:
        place = torch.device(("cuda" if has_gpu else "cpu") if device == "auto" else device)
    except RuntimeError:
        raise DeviceError(
            f"'{device}' is no device", expected="auto, cpu, cuda, cuda:1 ..."
        ) from None
    num_gpus = torch.cuda.device_count() if has_gpu else 0
    if place.type == "cuda" and (place.index or 0) >= num_gpus:
        raise DeviceError(
            f"device '{device}' is asked for, and this process sees {num_gpus} usable GPUs",
            hint=f"auto takes a GPU where there is one; {_ON_THE_CPU}",
        )
    return place


def _counts(locks: dict[str, IO[str]], gpus: Sequence[str], num_gpus: int) -> tuple[int, int, int]:
    return len(locks), len(gpus), num_gpus


def _check_torch_sees(num_gpus: int, *, place: str) -> None:
    import torch

    # Counts through the driver's library, so that vLLM can still start processes of its own.
    seen = torch.cuda.device_count()
    if seen < num_gpus:
        raise DeviceError(
            f"this step was given GPU {os.environ[_VISIBLE]} of {place}, of which torch "
            f"{torch.__version__} can use {seen}",
            expected="a driver that fits torch's CUDA build; nvidia-smi and "
            "python -m torch.utils.collect_env say what is there",
            hint=f"send the rule to nodes with GPUs (partition, constraint), or {_ON_THE_CPU}",
        )


def _place() -> str:
    """The machine's name, as the cluster calls it where there is one."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _lock_folder() -> Path:
    """A folder on this machine that only this user can write to."""
    folder = Path(tempfile.gettempdir()) / f"sluice-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise DeviceError(
            f"{folder} belongs to another user", hint="set TMPDIR to a folder of yours"
        )
    return folder


def _try_lock(file: Path) -> IO[str] | None:
    lock = file.open("w")  # stays open: a lock lives as long as its file is
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock

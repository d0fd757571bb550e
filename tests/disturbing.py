"""Ends a run at random moments, and finds what it left behind."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

_GRACE_S = 30.0


@dataclass(frozen=True)
class Disturbance:
    """One run that was ended before its time, or came to its end just before."""

    signal: signal.Signals
    after_s: float
    status: int | None
    survivors: tuple[str, ...]
    """Command lines of processes that still worked in the folder half a minute later."""


def disturb(
    start: Callable[[], subprocess.Popen[bytes]],
    folder: Path,
    *,
    signals: tuple[signal.Signals, ...],
    longest_s: float,
    drawn: random.Random,
) -> Disturbance:
    """Starts a run and sends a signal at a random moment.

    SIGKILL goes to the whole process group, as when a machine goes down. Other signals go to
    Snakemake alone, or to the group for SIGINT, as a terminal's Ctrl-C does.
    """
    chosen, after_s = drawn.choice(signals), drawn.uniform(0, longest_s)
    process = start()
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        if chosen is signal.SIGTERM:
            process.terminate()
        else:
            os.killpg(process.pid, chosen)
        process.wait()
    return Disturbance(chosen, after_s, process.returncode, tuple(survivors(folder)))


def survivors(folder: Path) -> list[str]:
    """What still works in the folder, once all have had time to notice."""
    deadline = time.monotonic() + _GRACE_S
    while found := [line for each in psutil.process_iter() if (line := _work_in(each, folder))]:
        if time.monotonic() > deadline:
            return found
        time.sleep(0.2)
    return []


def _work_in(process: psutil.Process, folder: Path) -> str:
    try:
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        if is_alive and Path(process.cwd()).is_relative_to(folder):
            return " ".join(process.cmdline()[:8])
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        pass
    return ""

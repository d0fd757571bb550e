"""Ends a run at random moments, and finds what it left behind."""

import contextlib
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
# A run does not use more cores at once: so long it cannot reach its moment.
_MOST_CORES = 4
_SHORTEST_WAIT_S = 0.01


@dataclass(frozen=True)
class Disturbance:
    """One run that was ended before its time, or came to its end just before."""

    signal: signal.Signals
    after_cpu_s: float
    is_sent: bool
    """Whether the run still went on at its moment."""
    is_in_step: bool
    """Whether a step worked at that moment, not Snakemake alone."""
    status: int | None
    survivors: tuple[str, ...]
    """Command lines of processes that still worked in the folder half a minute later."""


def disturb(
    start: Callable[[], subprocess.Popen[bytes]],
    folder: Path,
    *,
    signals: tuple[signal.Signals, ...],
    longest_cpu_s: float,
    drawn: random.Random,
) -> Disturbance:
    """Starts a run and sends a signal at a random moment.

    A moment is the processor time that the run's processes have used by then, so that a loaded
    machine is interrupted in the same places as an idle one. SIGKILL goes to the whole process
    group, as when a machine goes down, and SIGINT as well, as a terminal's Ctrl-C does. SIGTERM
    goes to Snakemake alone, which lets its running steps end, or to the group, as a service
    manager's stop does.
    """
    chosen, after_cpu_s = drawn.choice(signals), drawn.uniform(0, longest_cpu_s)
    is_to_group = chosen is not signal.SIGTERM or drawn.random() < 0.5
    process = start()
    is_sent = is_in_step = False
    while process.poll() is None and not is_sent:
        num_steps, cpu_s = _work_of(process.pid)
        if cpu_s < after_cpu_s:
            time.sleep(max((after_cpu_s - cpu_s) / _MOST_CORES, _SHORTEST_WAIT_S))
            continue
        (os.killpg if is_to_group else os.kill)(process.pid, chosen)
        is_sent, is_in_step = True, num_steps > 0
    process.wait()
    left = tuple(survivors(folder))
    return Disturbance(chosen, after_cpu_s, is_sent, is_in_step, process.returncode, left)


def _work_of(pid: int) -> tuple[int, float]:
    """How many processes a process has started that still work, and all their processor seconds."""
    cpu_s, children = 0.0, []
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        children = root.children(recursive=True)
        for each in (root, *children):
            times = each.cpu_times()
            cpu_s += times.user + times.system + times.children_user + times.children_system
    return len(children), cpu_s


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

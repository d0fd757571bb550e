"""Runs a command and sees to it that nothing of it outlives the process that asked for it.

    python process_guard.py COMMAND ...    (standard input: a pipe whose other end the asker holds)

When that pipe closes, on purpose or because the asker was killed, the command gets SIGTERM and,
after a grace, it and all of its descendants SIGKILL. On Linux the guard adopts descendants whose
parents have gone, so that none escapes; should the guard be killed, the kernel kills the command.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys

import psutil

_GRACE_S = 5.0
_LOOK_EVERY_S = 0.1
# From linux/prctl.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    """Runs the command until it ends or standard input closes; returns its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the pipe alone says when to stop
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    guard = os.getpid()
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: _die_with(guard),
    )
    while child.poll() is None:
        if select.select([sys.stdin], [], [], _LOOK_EVERY_S)[0] and not os.read(0, 1024):
            _stop(child)
    _kill_descendants()
    return child.returncode


def _die_with(guard: int) -> None:
    """In the new process: default signals, and the guard's death is its own."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:
        os.kill(os.getpid(), signal.SIGKILL)


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE_S)
    if child.poll() is None:
        child.kill()
        child.wait()


def _kill_descendants() -> None:
    """Kills whatever the command has left behind, until nothing is."""
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1.0)


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the pipe alone does the work."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

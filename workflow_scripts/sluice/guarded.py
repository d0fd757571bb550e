"""Commands that end when this process does, however that ends (`sluice.process_guard`)."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

_GUARD = Path(__file__).with_name("process_guard.py")


def start_guarded(
    command: Sequence[str],
    *,
    output: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> "subprocess.Popen[bytes]":
    """Starts a command under a guard, whose exit status is the command's.

    Args:
        command: its words.
        output: where stdout and stderr go; this process's own where None.
        environment: all of its variables; this process's where None.
    """
    return subprocess.Popen(
        [sys.executable, "-P", str(_GUARD), *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,  # a kill of our whole process group leaves the guard to work
        env=environment,
    )


def stop_guarded(process: "subprocess.Popen[bytes]") -> None:
    """Closes the guard's pipe and waits until nothing of the command is left."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.wait()


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """Turns SIGTERM and SIGHUP into an orderly exit, so that what is open is closed."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

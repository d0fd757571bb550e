"""Nothing that the guard runs outlives the process that asked for it, however that ends."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from support import ROOT

GUARD = ROOT / "workflow_scripts/sluice/process_guard.py"

# A server with a child, and with a grandchild in a session of its own that ignores SIGTERM.
SERVER = """
import os, signal, subprocess, sys, time
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {stubborn!r}],"
child += " start_new_session=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child])
time.sleep(600)
"""
ASKER = """
import subprocess, sys, time
command = [sys.executable, "-P", *sys.argv[1:]]
subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
time.sleep(600)
"""


def _descendants(process, number):
    """All of a process's descendants, once there are so many."""
    deadline = time.monotonic() + 60
    while len(found := psutil.Process(process.pid).children(recursive=True)) < number:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def _all_gone(processes):
    return not psutil.wait_procs(processes, timeout=60)[1]


@pytest.fixture
def asker():
    """A process that asked the guard for the server: guard, server, child, grandchild."""
    process = subprocess.Popen(
        [sys.executable, "-c", ASKER, str(GUARD), sys.executable, "-c", SERVER],
        start_new_session=True,
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_asker_is_killed(asker, number):
    left = _descendants(asker, 4)
    asker.send_signal(number)
    asker.wait()
    assert _all_gone(left)


def test_nothing_is_left_when_its_whole_process_group_is_killed(asker):
    left = _descendants(asker, 4)
    os.killpg(asker.pid, signal.SIGKILL)
    asker.wait()
    assert _all_gone(left)


def test_the_server_ends_when_the_guard_itself_is_killed(asker):
    guard, server, *others = _descendants(asker, 4)
    guard.kill()
    assert _all_gone([server])
    for orphan in others:  # theirs is not promised
        orphan.kill()


def test_exit_status_is_the_commands_and_its_orphans_are_killed(tmp_path):
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " start_new_session=True)\n"
        "print(child.pid, flush=True); sys.exit(7)\n"
    )
    guard = subprocess.Popen(
        [sys.executable, "-P", str(GUARD), sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    orphan = int(guard.stdout.readline())
    assert guard.wait(60) == 7
    assert not psutil.pid_exists(orphan)
    guard.stdin.close()

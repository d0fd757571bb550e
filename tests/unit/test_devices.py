"""Each step sees the GPUs that it was given and no others. The GPUs are pretended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import ROOT

from sluice import devices
from sluice.errors import DeviceError

HOLD = """
import sys, time
from pathlib import Path
from sluice.devices import claim_gpus
print(",".join(claim_gpus(sys.argv[2].split(","), int(sys.argv[3]), folder=Path(sys.argv[1]))))
sys.stdout.flush()
time.sleep(600)
"""


@pytest.fixture
def hold(tmp_path):
    """Starts a process that claims GPUs and keeps them; returns it and what it got."""
    started = []

    def start(gpus, num_gpus):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), gpus, str(num_gpus)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def got(process):
    return process.stdout.readline().strip()


@pytest.fixture(autouse=True)
def _own_claims(monkeypatch):
    monkeypatch.setattr(devices, "_held", [])
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "LOCAL_RANK"):
        monkeypatch.setenv(name, "")  # noted as absent, so that what a test's step sets goes, too
        monkeypatch.delenv(name)


def test_processes_at_once_get_gpus_of_their_own(hold):
    first, second = hold("0,1", 1), hold("0,1", 1)
    assert {got(first), got(second)} == {"0", "1"}


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_gpu_of_a_killed_process_is_free_at_once(hold, tmp_path, end):
    holder = hold("0", 1)
    assert got(holder) == "0"
    holder.send_signal(end)
    holder.wait()
    assert devices.claim_gpus(["0"], 1, folder=tmp_path) == ["0"]


def test_who_needs_two_waits_without_keeping_one(hold, tmp_path):
    holder = hold("0,1", 1)
    assert got(holder) == "0"
    waiting = hold("0,1", 2)
    time.sleep(1)
    assert waiting.poll() is None
    third = hold("1", 1)  # what the waiting one holds for a moment only
    assert got(third) == "1"
    holder.kill()
    third.kill()
    assert got(waiting) == "0,1"


def test_gpus_are_those_of_the_variable(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-abc")
    assert devices.find_gpus() == ["3", "GPU-abc"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert devices.find_gpus() == []


def test_gpus_are_those_that_nvidia_smi_lists(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert devices.find_gpus() == ["0", "1"]
    tool.write_text("#!/bin/sh\necho no driver >&2; exit 9\n")
    assert devices.find_gpus() == []


def test_step_without_a_gpu_sees_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    devices.take_gpus(0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_step_by_hand_sees_what_there_is(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    devices.take_gpus(None)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_step_sees_only_the_gpu_that_it_claimed(monkeypatch, hold, tmp_path):
    monkeypatch.setattr(devices, "_lock_folder", lambda: tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert got(hold("0", 1)) == "0"
    devices.take_gpus(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_slurm_job_keeps_what_slurm_gave_it(monkeypatch, hold, tmp_path):
    monkeypatch.setattr(devices, "_lock_folder", lambda: tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert got(hold("0", 1)) == "0"  # on another node, perhaps
    devices.take_gpus(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_step_on_a_machine_without_gpu_says_what_to_do(monkeypatch):
    monkeypatch.setattr(devices, "find_gpus", list)
    with pytest.raises(DeviceError, match=r"given 1 GPUs, and .* shows it 0") as caught:
        devices.take_gpus(1)
    assert "--device cpu" in caught.value.hint


def test_gpu_that_torch_cannot_use_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "_lock_folder", lambda: tmp_path)
    monkeypatch.setattr(devices, "find_gpus", lambda: ["0"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match=r"of which torch .* can use 0"):
        devices.take_gpus(1)


def test_step_that_shall_run_on_the_cpu_claims_nothing(monkeypatch):
    monkeypatch.setattr(devices, "find_gpus", lambda: pytest.fail("looked for GPUs"))
    devices.take_gpus(1, device="cpu")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_lock_folder_of_another_user_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    assert devices._lock_folder().parent == tmp_path
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (tmp_path / "sluice-gpus-12345").mkdir()
    with pytest.raises(DeviceError, match="belongs to another user"):
        devices._lock_folder()


def test_script_that_was_given_a_gpu_of_a_machine_without_stops(tmp_path):
    words = ["--model", "m", "--samples", "s", "--output", "o", "--training-log", "l"]
    done = subprocess.run(
        [sys.executable, ROOT / "workflow_scripts" / "warm_up_gate.py", *words, "--num-gpus", "1"],
        cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("DeviceError: this step was given 1 GPUs")
    assert not list(Path(tmp_path).iterdir())

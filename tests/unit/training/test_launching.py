"""Several processes train as one; a launcher that cannot do so here is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from disturbing import survivors
from safetensors.torch import load_file
from samples_for_training import checkpoint, mixed_samples, relative_distance
from support import ROOT

from sluice import processes
from sluice.base_loss.ranks import joined_ranks
from sluice.errors import ConfigError, TrainingError
from sluice.records import write_samples
from sluice.settings.training import FineTune
from sluice.training.launching import check_launcher, relaunch, zero_config

DDP = ("--launcher=ddp", "--num-processes=2")
DEEPSPEED = ROOT / ".venv" / "deepspeed"

WORDS = [
    "--r=4",
    "--dropout=0",
    "--max-steps=4",
    "--batch-size=2",
    "--learning-rate=1e-3",
    "--warmup-steps=0",
    "--eval-fraction=0.25",
    "--eval-every=2",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model and 15 samples: of 12 that are learnt from, every second step sees 4."""
    folder = tmp_path_factory.mktemp("launching")
    checkpoint(folder)
    write_samples(folder / "samples.jsonl", mixed_samples(15))
    return folder


# Other launchers than our own, with two processes on the CPU.
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--")
# With --cpu instead of --multi_gpu accelerate starts one process, whatever their number.
ACCELERATE = (
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"),
    *("--mixed_precision=no", "--dynamo_backend=no", "--"),
)


FINE_TUNE = ROOT / "workflow_scripts/fine_tune.py"
FSDP_ON_CPU = Path(__file__).with_name("fsdp_on_cpu.py")
FSDP = ("--launcher=fsdp", "--num-processes=2")


def script_command(folder, name, *words, script=FINE_TUNE, outer=()):
    command = [sys.executable, *outer, str(script), *WORDS]
    command += ["--model", str(folder / "base"), "--samples", str(folder / "samples.jsonl")]
    command += ["--output", str(folder / name), "--state-dir", str(folder / f"state_{name}")]
    return [*command, *words]


def start_script(*words, environment=None, **more):
    return subprocess.run(
        script_command(*words, **more),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def start_in_background(log, *words, **more):
    with log.open("wb") as stream:
        return subprocess.Popen(
            script_command(*words, **more), stderr=stream, cwd=log.parent, start_new_session=True
        )


def wait_for(text, log, process):
    deadline = time.monotonic() + 120
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def run_script(folder, name, *words, num_processes=1, **more):
    done = start_script(folder, name, *words, **more)
    assert done.returncode == 0, done.stderr[-4000:]
    # Each process says it once.
    assert done.stderr.count("samples to learn from") == num_processes
    return read_run(folder, name)


def read_run(folder, name):
    metrics = json.loads((folder / name / "metrics.json").read_text())
    (weights,) = (folder / name / "final_model").glob("*.safetensors")
    return metrics, load_file(weights)


@pytest.fixture(scope="module")
def alone(folder):
    return run_script(folder, "alone", "--accumulation=4")


def assert_same_run(found, expected):
    (metrics, weights), (metrics_alone, weights_alone) = found, expected
    assert metrics["losses"] == pytest.approx(metrics_alone["losses"], rel=1e-5)
    assert metrics["eval_losses"] == pytest.approx(metrics_alone["eval_losses"], rel=1e-5)
    assert metrics["eval_steps"] == metrics_alone["eval_steps"] == [2, 4]
    assert weights.keys() == weights_alone.keys()
    ours, theirs = ([each[name] for name in sorted(each)] for each in (weights, weights_alone))
    assert relative_distance(ours, theirs) < 1e-4


def test_two_processes_train_as_one_does(folder, alone, tmp_path):
    words, environment = ("--accumulation=2", *DDP), {"TMPDIR": str(tmp_path)}
    both = run_script(folder, "ddp", *words, num_processes=2, environment=environment)
    assert_same_run(both, alone)
    assert list(tmp_path.iterdir()) == []
    ledger = json.loads((folder / "ddp/samples.ledger.json").read_text())
    assert ledger["rows_in"] == 15


def test_processes_that_accelerate_started_train_as_one_does(folder, alone):
    words = ("--accumulation=2", *DDP)
    both = run_script(folder, "accelerate", *words, outer=ACCELERATE, num_processes=2)
    assert_same_run(both, alone)


def run_fsdp(folder, name, *words):
    words = ("--accumulation=2", *FSDP, *words)
    return run_script(folder, name, *words, script=FSDP_ON_CPU, outer=TORCHRUN, num_processes=2)


def test_processes_that_share_out_the_weights_train_as_one_does(folder, alone):
    assert_same_run(run_fsdp(folder, "fsdp_lora"), alone)


def test_all_weights_can_be_trained_shared_out(folder):
    words = ("--method=full", "--gradient-checkpointing")
    expected = run_script(folder, "full", "--accumulation=4", *words)
    assert_same_run(run_fsdp(folder, "fsdp_full", *words), expected)


def test_shared_out_weights_in_bfloat16_keep_a_loss_in_float32(folder):
    words = ("--method=full", "--precision=bfloat16")
    expected, _ = run_script(folder, "bfloat16", "--accumulation=4", *words)
    found, weights = run_fsdp(folder, "fsdp_bfloat16", *words)
    assert found["eval_losses"] == pytest.approx(expected["eval_losses"], rel=5e-3)
    # What is rounded to bfloat16 has 16 zeros at its end.
    bits = torch.tensor(found["losses"] + found["eval_losses"]).view(torch.int32)
    assert (bits & 0xFFFF != 0).all()
    assert {each.dtype for each in weights.values()} == {torch.float32}


def test_training_with_shared_out_weights_goes_on_after_a_kill(folder):
    words = ("--accumulation=2", *FSDP, "--max-steps=20")
    options = {"script": FSDP_ON_CPU, "outer": TORCHRUN}
    whole = run_script(folder, "fsdp_whole", *words, **options, num_processes=2)
    log = folder / "fsdp_killed.txt"
    process = start_in_background(log, folder, "fsdp_killed", *words, **options)
    wait_for("step 4: eval loss", log, process)
    # Here no launcher of ours is there to end what torchrun started.
    for each in [*psutil.Process(process.pid).children(recursive=True), process]:
        each.kill()
    process.wait()
    done = start_script(folder, "fsdp_killed", *words, **options)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "going on after step" in done.stderr
    found = read_run(folder, "fsdp_killed")
    assert found[0]["losses"] == whole[0]["losses"]
    assert all(torch.equal(weight, whole[1][name]) for name, weight in found[1].items())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_fsdp_without_gpus_is_refused_under_torchrun(folder):
    done = start_script(folder, "fsdp", *FSDP, outer=TORCHRUN)
    assert done.returncode == 1
    assert "TrainingError: launcher fsdp needs GPUs" in done.stderr
    assert not (folder / "fsdp").exists()


def test_torchrun_with_another_number_of_processes_is_refused(folder):
    done = start_script(folder, "default", outer=TORCHRUN)
    assert done.returncode == 1
    assert "ConfigError: 2 processes were started, and 'num_processes' is 1" in done.stderr
    assert "Hint: give both the same number, with --launcher ddp" in done.stderr
    assert not (folder / "default").exists()


def join_ranks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.cuda.is_available", lambda: True)
        with joined_ranks("auto"):
            pass


@pytest.fixture
def as_one_of_two(monkeypatch):
    """What torchrun tells each of two processes."""
    for name, value in {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


REFUSED = [
    ({"launcher": "ddp", "num_processes": 3}, "2 processes were started, and 'num_processes' is 3"),
    ({"num_processes": 2}, "'launcher' is none with 2 processes"),
    ({"launcher": "zero2", "num_processes": 2}, "zero2 needs DeepSpeed"),
    ({"launcher": "fsdp", "num_processes": 2, "method": "qlora"}, "qlora with launcher fsdp"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_launched_processes_are_checked_as_those_that_sluice_starts(
    monkeypatch, as_one_of_two, settings, message
):
    has_gpus = settings.get("launcher") == "fsdp"
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpus)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2 if has_gpus else 0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises((ConfigError, TrainingError), match=message):
        relaunch(FineTune(**settings))


def test_launched_processes_do_not_share_a_gpu(monkeypatch, as_one_of_two):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    for start in (lambda: relaunch(FineTune(launcher="ddp", num_processes=2)), join_ranks):
        with pytest.raises(TrainingError, match="2 processes for 1 GPUs"):
            start()
    # Where the launcher does not say how many share this machine, the second one knows of two.
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    with pytest.raises(TrainingError, match="2 processes for 1 GPUs"):
        processes.relaunch(1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert not processes.relaunch(1)


@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_two_deepspeed_processes_train_as_one_does(folder, alone, stage):
    if not DEEPSPEED.is_dir():
        pytest.skip("DeepSpeed is not in .venv/deepspeed; `make test` puts it there")
    words = ("--accumulation=2", f"--launcher={stage}", "--num-processes=2")
    path = f"{DEEPSPEED / 'bin'}{os.pathsep}{os.environ['PATH']}"  # ninja builds its kernels
    paths = {"PYTHONPATH": str(DEEPSPEED), "PATH": path}
    both = run_script(folder, stage, *words, num_processes=2, environment=paths)
    assert_same_run(both, alone)


def test_missing_deepspeed_is_an_error_with_a_hint(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="zero2 needs DeepSpeed") as caught:
        check_launcher(FineTune(launcher="zero2", num_processes=2))
    assert "pip install deepspeed" in caught.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_fsdp_without_gpus_is_refused():
    with pytest.raises(TrainingError, match="it would silently train as ddp does"):
        check_launcher(FineTune(launcher="fsdp", num_processes=2))


@pytest.mark.parametrize(("launcher", "num_processes"), [("none", 2), ("ddp", 1)])
def test_launcher_and_number_of_processes_must_fit(launcher, num_processes):
    with pytest.raises(ConfigError, match=f"'launcher' is {launcher} with {num_processes}"):
        check_launcher(FineTune(launcher=launcher, num_processes=num_processes))


def test_four_bit_weights_are_not_shared_out(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    with pytest.raises(ConfigError, match="qlora with launcher zero3"):
        check_launcher(FineTune(method="qlora", launcher="zero3", num_processes=2))


def test_deepspeed_is_told_to_divide_by_nothing():
    for launcher, stage in (("zero2", 2), ("zero3", 3)):
        config = zero_config(FineTune(launcher=launcher, num_processes=2, max_grad_norm=0.5))
        assert config["zero_optimization"]["stage"] == stage
        assert config["gradient_accumulation_steps"] == 1
        assert config["gradient_clipping"] == 0.5


def test_failure_of_a_process_is_an_error_without_a_traceback(folder):
    done = start_script(folder, "x", *DDP, "--model", str(folder / "nowhere"))
    assert done.returncode == 1
    assert "ModelError: no tokenizer could be loaded" in done.stderr
    assert "TrainingError: the training processes ended with status 1" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_training_process_outlives_the_command(folder, tmp_path, number):
    log = tmp_path / "log.txt"
    process = start_in_background(log, folder, f"x{number}", *DDP, "--max-steps=1000000")
    wait_for("step 2: eval loss", log, process)
    assert len(psutil.Process(process.pid).children(recursive=True)) >= 3  # torchrun and its two
    os.killpg(process.pid, number)
    process.wait()
    assert survivors(tmp_path) == []
    assert not (folder / f"x{number}/final_model").exists()

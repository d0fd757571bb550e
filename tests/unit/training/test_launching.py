"""Several processes train as one; a launcher that cannot do so here is refused."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from samples_for_training import checkpoint, mixed_samples, relative_distance
from support import ROOT

from sluice.errors import ConfigError, TrainingError
from sluice.records import write_samples
from sluice.settings.training import FineTune
from sluice.training.launching import check_launcher, zero_config

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


def run_script(folder, name, *words, **environment):
    command = [sys.executable, str(ROOT / "workflow_scripts/fine_tune.py"), *WORDS, *words]
    command += ["--model", str(folder / "base"), "--samples", str(folder / "samples.jsonl")]
    command += ["--output", str(folder / name), "--state-dir", str(folder / f"state_{name}")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr[-4000:]
    metrics = json.loads((folder / name / "metrics.json").read_text())
    return metrics, load_file(folder / name / "final_model/adapter_model.safetensors")


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


def test_two_processes_train_as_one_does(folder, alone):
    both = run_script(folder, "ddp", "--accumulation=2", "--launcher=ddp", "--num-processes=2")
    assert_same_run(both, alone)
    ledger = json.loads((folder / "ddp/samples.ledger.json").read_text())
    assert ledger["rows_in"] == 15


@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_two_deepspeed_processes_train_as_one_does(folder, alone, stage):
    if not DEEPSPEED.is_dir():
        pytest.skip("DeepSpeed is not in .venv/deepspeed; `make test` puts it there")
    words = ("--accumulation=2", f"--launcher={stage}", "--num-processes=2")
    path = f"{DEEPSPEED / 'bin'}{os.pathsep}{os.environ['PATH']}"  # ninja builds its kernels
    both = run_script(folder, stage, *words, PYTHONPATH=str(DEEPSPEED), PATH=path)
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
    command = [sys.executable, str(ROOT / "workflow_scripts/fine_tune.py"), *WORDS]
    command += ["--model", str(folder / "nowhere"), "--samples", str(folder / "samples.jsonl")]
    command += ["--output", str(folder / "x"), "--state-dir", str(folder / "state_x")]
    command += ["--launcher=ddp", "--num-processes=2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 1
    assert "ModelError: no tokenizer could be loaded" in done.stderr
    assert "TrainingError: the training processes ended with status 1" in done.stderr

"""The two scripts as a user runs them: several processes, SIGKILL, wrong input."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file
from support import ROOT

from sluice.base.building import build_base_model
from sluice.settings.base_model import TrainBaseModel

SCRIPTS = ROOT / "workflow_scripts"
SHAPE = [
    *("--hidden-size=16", "--num-layers=1", "--num-heads=2", "--num-kv-heads=1"),
    *("--intermediate-size=16", "--batch-size=8", "--rise-steps=2"),
]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def run(*command, is_ok=True):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert (done.returncode == 0) == is_ok, done.stderr[-4000:]
    return done


def training_words(inputs, target, *words):
    return [
        *(SCRIPTS / "train_base_model.py", *SHAPE, *words),
        *("--tokenizer", inputs / "tokenizer", "--output", target / "final_model"),
        *("--training-log", target / "log.json", "--state", target / "state"),
    ]


def result(target):
    log = json.loads((target / "log.json").read_text())
    return log, load_file(target / "final_model/model.safetensors")


# Long enough to be killed in the middle.
PACKED = ["--sequence-length=16", "--num-steps=60", "--eval-every=20", "--checkpoint-every=5"]
SETTINGS = TrainBaseModel(
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    intermediate_size=16,
    batch_size=8,
    rise_steps=2,
    accumulation=2,
)


def train_alone(inputs, target, *, source, **changes):
    """What one process makes of it, in two passes a step."""
    build_base_model(
        SETTINGS.model_copy(update=changes),
        **source,
        tokenizer_folder=inputs / "tokenizer",
        output=target / "final_model",
        log_path=target / "log.json",
        state_root=target / "state",
    )
    return result(target)


@pytest.fixture(scope="module")
def of_two(inputs, tmp_path_factory):
    """Packed text learnt by two processes that the script starts."""
    target = tmp_path_factory.mktemp("of_two")
    words = ["--corpus", inputs / "corpus", *PACKED, "--num-processes=2"]
    run(sys.executable, *training_words(inputs, target, *words))
    return target


def test_two_processes_learn_text_as_one_does(inputs, of_two, tmp_path):
    source = {"corpus_folder": inputs / "corpus"}
    steps = {"sequence_length": 16, "num_steps": 60, "eval_every": 20}
    expected, _ = train_alone(inputs, tmp_path, source=source, **steps)
    log, _ = result(of_two)
    assert log["num_tokens"] == expected["num_tokens"]
    assert log["losses"][:5] == pytest.approx(expected["losses"][:5], rel=1e-5)
    # Rounding grows with every step.
    assert log["losses"] == pytest.approx(expected["losses"], rel=1e-2)
    assert log["eval_bits_per_byte"] == pytest.approx(expected["eval_bits_per_byte"], rel=1e-2)


# Without --multi_gpu accelerate starts one process on a CPU, whatever their number.
ACCELERATE = (
    *("accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"),
    *("--mixed_precision=no", "--dynamo_backend=no"),
)


def test_processes_that_accelerate_started_learn_samples_as_one_does(inputs, tmp_path):
    """Of a step's target tokens the two processes have different numbers."""
    both, alone = tmp_path / "both", tmp_path / "alone"
    words = ["--samples", inputs / "corpus.jsonl", "--num-steps=4"]
    done = run(sys.executable, "-m", *ACCELERATE, *training_words(inputs, both, *words))
    # Each process says it once.
    assert done.stderr.count("parameters on cpu") == 2
    source = {"samples_path": inputs / "corpus.jsonl"}
    expected, expected_weights = train_alone(inputs, alone, source=source, num_steps=4)
    log, weights = result(both)
    assert log["losses"] == pytest.approx(expected["losses"], rel=1e-5)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected_weights[name], rtol=1e-3, atol=1e-4)


def _kill_once(command, is_reached):
    """Starts a command and kills it and all that it started once something is there."""
    process = psutil.Popen(
        [str(word) for word in command], env=ENVIRONMENT, stderr=subprocess.DEVNULL
    )
    while not is_reached():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    for each in (process, *process.children(recursive=True)):
        each.kill()
    process.wait()


def test_two_processes_ended_by_sigkill_go_on_to_the_same_bytes(inputs, of_two, tmp_path):
    words = ["--corpus", inputs / "corpus", *PACKED, "--num-processes=2"]
    command = [sys.executable, *training_words(inputs, tmp_path, *words)]
    _kill_once(command, lambda: list((tmp_path / "state").rglob("progress.pt")))
    assert not (tmp_path / "final_model").exists()
    done = run(*command)
    assert "going on after step" in done.stderr
    for name in ("final_model/model.safetensors", "log.json"):
        assert (tmp_path / name).read_bytes() == (of_two / name).read_bytes(), name


def test_wrong_input_is_one_message(inputs, tmp_path):
    words = training_words(inputs, tmp_path, "--corpus", "nowhere")
    done = run(sys.executable, *words, is_ok=False)
    assert "DataError: nowhere/corpus.json does not exist" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "final_model").exists()


def test_tokenising_script_writes_a_corpus(inputs, tmp_path):
    run(
        *(sys.executable, SCRIPTS / "tokenize_corpus.py", "--text", inputs / "text.jsonl"),
        *("--tokenizer", inputs / "tokenizer", "--output", tmp_path / "corpus"),
        *("--heldout-share=0.2", "--state", tmp_path / "state"),
    )
    for file in (inputs / "corpus").iterdir():
        assert (tmp_path / "corpus" / file.name).read_bytes() == file.read_bytes()

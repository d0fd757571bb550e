"""evaluate_base_loss as a user runs it: one process or two, samples, wrong values."""

import json
import os
import subprocess
import sys

import pytest
from support import ROOT
from texts_for_loss import DIALOGUE, write_checkpoint, write_texts
from tiny_models import write_tiny_checkpoint

from sluice.base_loss.running import LossInputs, _open_state, evaluate_base_loss
from sluice.errors import ConfigError, DataError, ModelError
from sluice.files import write_json
from sluice.settings.base_loss import EvaluateBaseLoss

SCRIPT = ROOT / "workflow_scripts/evaluate_base_loss.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts"))


def _evaluate(folder, texts, output, *, prompts=None, **changes):
    options = {"device": "cpu", "num_free_samples": 2, "sample_tokens": 6, "device_batch_size": 3}
    evaluate_base_loss(
        EvaluateBaseLoss(**{**options, **changes}),
        LossInputs(
            str(folder),
            None,
            {"train": (texts / "train.jsonl",), "heldout": (texts / "heldout.jsonl",)},
            prompts or texts / "prompts.txt",
        ),
        output=output / "loss.json",
        samples_output=output / "samples.txt",
        state_root=output / "state",
    )
    return json.loads((output / "loss.json").read_text())


def _run(words, folder, texts, output):
    done = subprocess.run(
        [
            sys.executable, *words, SCRIPT, "--hf-path", folder, "--device", "cpu",
            "--train-text", texts / "train.jsonl", "--heldout-text", texts / "heldout.jsonl",
            "--prompts", texts / "prompts.txt", "--output", output, "--device-batch-size", "2",
            "--max-seq-len", "20", "--sample-tokens", "5", "--num-free-samples", "1",
            "--state-dir", output.parent / "state",
        ],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_write_the_same_bytes_as_one(folder, texts, tmp_path):
    """Gloo on the CPU; the second process alone starts no sampling and writes nothing."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    _run(launcher, folder, texts, tmp_path / "two.json")
    _run([], folder, texts, tmp_path / "one.json")
    assert (tmp_path / "two.json").read_bytes() == (tmp_path / "one.json").read_bytes()
    assert (tmp_path / "two_samples.txt").read_bytes() == (
        tmp_path / "one_samples.txt"
    ).read_bytes()
    assert not any((tmp_path / "state").iterdir())


def test_samples_stand_in_the_json_and_as_text(folder, texts, tmp_path):
    found = _evaluate(folder, texts, tmp_path)["samples"]
    assert [each["prompt"] for each in found["greedy"]] == ["The ferry", "One 你"]
    assert [each["num_tokens"] for each in found["free"]] == [6, 6]
    assert found["free"][0] != found["free"][1]
    text = (tmp_path / "samples.txt").read_text()
    for each in found["greedy"]:
        assert f"{each['prompt']}[...]{each['completion']}\n" in text


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", "float32"), ("bfloat16", "bfloat16"), ("float16", "float16")]
)
def test_precision_is_the_one_asked_for(folder, texts, tmp_path, precision, dtype):
    exact = _evaluate(folder, texts, tmp_path / "exact", precision="float32")
    found = _evaluate(folder, texts, tmp_path / "found", precision=precision)
    assert (exact["dtype"], found["dtype"]) == ("float32", dtype)
    for split in ("train", "heldout"):
        bits = found["splits"][split]["bits_per_byte"]
        assert bits == pytest.approx(exact["splits"][split]["bits_per_byte"], rel=0.02)
        assert (bits == exact["splits"][split]["bits_per_byte"]) == (dtype == "float32")


def test_progress_in_another_precision_is_not_used(folder, texts, tmp_path):
    prompts = texts / "prompts.txt"
    inputs = LossInputs(str(folder), None, {}, prompts)
    states = [
        _open_state(tmp_path, EvaluateBaseLoss(precision=each), inputs, {})
        for each in ("auto", "float32", "bfloat16")
    ]
    assert len(set(states)) == 3


def test_samples_depend_on_the_seed_and_not_on_how_many_there_are(folder, texts, tmp_path):
    first = _evaluate(folder, texts, tmp_path / "a")["samples"]
    more = _evaluate(folder, texts, tmp_path / "b", num_free_samples=5)["samples"]
    other = _evaluate(folder, texts, tmp_path / "c", seed=7)["samples"]
    assert more["free"][:2] == first["free"]
    assert other["greedy"] == first["greedy"]
    assert other["free"] != first["free"]


def test_a_dialogue_among_the_prompts_is_answered(folder, texts, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"messages": DIALOGUE[:1]}) + '\n{"text": "The"}\n')
    found = _evaluate(folder, texts, tmp_path, prompts=prompts)["samples"]["greedy"]
    assert [each["prompt"] for each in found] == ["How much is 12+30?", "The"]


def test_a_model_without_a_chat_template_takes_dialogues_as_text(texts, tmp_path):
    folder = write_tiny_checkpoint(tmp_path / "plain")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template") as caught:
        _evaluate(folder, texts, tmp_path)
    assert "dialogues" in caught.value.hint
    found = _evaluate(folder, texts, tmp_path, dialogues="text")
    assert found["splits"]["heldout"]["num_bytes"] > 50


def test_windows_longer_than_the_models_context_are_an_error(folder, texts, tmp_path):
    with pytest.raises(ConfigError, match="'max_seq_len' is 5,000") as caught:
        _evaluate(folder, texts, tmp_path, max_seq_len=5000)
    assert caught.value.expected == "at most 1,024"


def test_a_tokenizer_of_another_model_is_an_error(texts, tmp_path):
    folder = write_tiny_checkpoint(tmp_path / "small", vocab_size=257)
    with pytest.raises(ModelError, match="embedding of 257 tokens"):
        _evaluate(folder, texts, tmp_path)


def test_prompts_without_a_prompt_are_an_error(folder, texts, tmp_path):
    (tmp_path / "none.txt").write_text("\n \n")
    with pytest.raises(DataError, match="holds no prompt"):
        _evaluate(folder, texts, tmp_path, prompts=tmp_path / "none.txt")


def test_other_text_does_not_use_the_progress_of_an_interrupted_run(folder, texts, tmp_path):
    expected = _evaluate(folder, texts, tmp_path / "a", split_tokens=20)
    state = tmp_path / "b" / "state"
    stale = state / "0123456789abcdef" / "train"
    stale.mkdir(parents=True)
    write_json(stale / "nats.0.jsonl", {"windows": [0], "nats": [1e9]})
    assert _evaluate(folder, texts, tmp_path / "b", split_tokens=20) == expected

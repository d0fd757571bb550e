"""From a corpus to a model folder: what comes out, and that an interruption changes nothing."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from base_models_for_tests import TINY, TINY_PACKED
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from sluice.base import building, training
from sluice.base.building import build_base_model
from sluice.base.progress import TrainingLog
from sluice.base.training import Trainer
from sluice.chat import load_tokenizer
from sluice.errors import ConfigError, DataError, DeviceError, ModelError, TrainingError
from sluice.settings.base_model import TrainBaseModel

# 256 bytes and the six special tokens of the tests' tokenizer.
VOCAB_SIZE = 262
KINDS = {"samples": TINY, "packed": TINY_PACKED}


def build(inputs, target, *, kind="samples", **changes):
    build_base_model(
        KINDS[kind].model_copy(update=changes),
        samples_path=inputs / "corpus.jsonl" if kind == "samples" else None,
        corpus_folder=inputs / "corpus" if kind == "packed" else None,
        tokenizer_folder=inputs / "tokenizer",
        output=target / "final_model",
        log_path=target / "training_log.json",
        state_root=target / "state",
    )
    return target


@pytest.fixture(scope="module")
def built(inputs, tmp_path_factory):
    return {kind: build(inputs, tmp_path_factory.mktemp(kind), kind=kind) for kind in KINDS}


def files_of(target):
    folder = target / "final_model"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**files, "log": (target / "training_log.json").read_bytes()}


def log_of(target):
    return json.loads((target / "training_log.json").read_text())


def weights_of(target):
    return load_file(target / "final_model/model.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_model_folder_loads_with_auto_classes(built, kind):
    model = AutoModelForCausalLM.from_pretrained(built[kind] / "final_model")
    tokenizer = load_tokenizer(built[kind] / "final_model")
    assert model.config.model_type == "qwen3"
    assert model.config.vocab_size == len(tokenizer) == VOCAB_SIZE
    assert model.dtype == torch.float32


def test_a_model_of_samples_ends_with_the_turn_and_begins_with_nothing(built):
    model = AutoModelForCausalLM.from_pretrained(built["samples"] / "final_model")
    tokenizer = load_tokenizer(built["samples"] / "final_model")
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.bos_token is None


def test_a_model_of_text_names_the_token_that_begins_and_ends_a_document(built):
    model = AutoModelForCausalLM.from_pretrained(built["packed"] / "final_model")
    tokenizer = load_tokenizer(built["packed"] / "final_model")
    assert tokenizer.bos_token == "<|endoftext|>"
    assert model.config.bos_token_id == tokenizer.bos_token_id
    ends = [tokenizer.eos_token_id, tokenizer.bos_token_id]
    assert model.generation_config.eos_token_id == ends


@pytest.mark.parametrize("kind", KINDS)
def test_log_holds_every_step_and_ends_lower_than_it_began(built, kind):
    log = log_of(built[kind])
    assert len(log["losses"]) == len(log["learning_rates"]) == 6
    assert log["losses"][-1] < log["losses"][0]
    # A model that knows nothing spreads its probability over all tokens.
    assert log["losses"][0] == pytest.approx(math.log(VOCAB_SIZE), rel=0.05)


def test_packed_training_is_evaluated_on_held_out_text_every_so_often(built):
    log = log_of(built["packed"])
    assert log["num_tokens"] == 6 * 4 * 16
    assert log["eval_steps"] == [2, 4, 6]
    assert log["eval_losses"][-1] < log["eval_losses"][0]
    # Each token of this tokenizer is a byte, so a byte's bits are a token's nats over ln 2.
    per_byte = [loss / math.log(2) for loss in log["eval_losses"]]
    assert log["eval_bits_per_byte"] == pytest.approx(per_byte)
    assert log_of(built["samples"])["eval_steps"] == []


def test_last_step_is_evaluated_though_it_is_not_due(inputs, tmp_path):
    build(inputs, tmp_path, kind="packed", eval_every=4)
    assert log_of(tmp_path)["eval_steps"] == [4, 6]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_inputs_give_the_same_bytes(inputs, built, tmp_path, kind):
    build(inputs, tmp_path, kind=kind)
    assert files_of(tmp_path) == files_of(built[kind])


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_goes_on_to_the_same_bytes(inputs, built, tmp_path, monkeypatch, kind):
    whole_step = Trainer.take_step
    taken = []

    def killed_in_the_fifth_step(self, steps, step, *, share):
        taken.append(step)
        if len(taken) == 5:
            raise _KilledError
        return whole_step(self, steps, step, share=share)

    monkeypatch.setattr(Trainer, "take_step", killed_in_the_fifth_step)
    with pytest.raises(_KilledError):
        build(inputs, tmp_path, kind=kind)
    assert not (tmp_path / "final_model").exists()
    build(inputs, tmp_path, kind=kind)
    assert taken == [0, 1, 2, 3, 4, 3, 4, 5]  # progress was noted after three steps
    assert files_of(tmp_path) == files_of(built[kind])


def test_progress_is_forgotten_once_the_model_is_written(built):
    assert not list((built["samples"] / "state").rglob("progress.pt"))


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_another_model(inputs, built, tmp_path, kind):
    build(inputs, tmp_path, kind=kind, seed=7)
    ours, theirs = files_of(tmp_path), files_of(built[kind])
    assert ours["model.safetensors"] != theirs["model.safetensors"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accumulation", [2, 3])
def test_a_step_in_several_passes_is_the_step_in_one(inputs, built, tmp_path, kind, accumulation):
    """Samples have answers of different lengths, and 4 rows do not divide by 3."""
    build(inputs, tmp_path, kind=kind, accumulation=accumulation)
    log, expected = log_of(tmp_path), log_of(built[kind])
    assert log["losses"] == pytest.approx(expected["losses"], rel=1e-5)
    assert log["eval_losses"] == pytest.approx(expected["eval_losses"], rel=1e-5)
    weights, expected_weights = weights_of(tmp_path), weights_of(built[kind])
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected_weights[name], rtol=1e-3, atol=1e-4)


def test_bfloat16_learns_about_the_same_with_float32_weights(inputs, built, tmp_path):
    build(inputs, tmp_path, kind="packed", precision="bfloat16")
    log, expected = log_of(tmp_path), log_of(built["packed"])
    assert log["losses"] == pytest.approx(expected["losses"], rel=2e-2)
    assert log["losses"] != expected["losses"]
    assert {weight.dtype for weight in weights_of(tmp_path).values()} == {torch.float32}


def test_any_shape_of_qwen3_is_trained(inputs, tmp_path):
    shape = {
        "num_layers": 2,
        "num_heads": 3,
        "num_kv_heads": 3,
        "head_dim": 4,
        "tie_word_embeddings": False,
        "rope_theta": 500_000.0,
        "max_positions": 64,
        "output_learning_rate": 1e-3,
        "num_steps": 2,
    }
    build(inputs, tmp_path, kind="packed", **shape)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "final_model")
    assert model.config.head_dim == 4
    assert model.config.rope_parameters["rope_theta"] == 500_000.0
    assert model.config.max_position_embeddings == 64
    assert model.model.layers[1].self_attn.q_proj.weight.shape == (12, 16)
    assert not torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"num_heads": 3, "num_kv_heads": 2}, "'num_heads' is 3 with 2 key-value heads"),
        ({"num_heads": 3, "num_kv_heads": 3}, "'hidden_size' is 16 with 3 heads"),
        ({"head_dim": 7}, "'head_dim' is 7"),
        ({"sequence_length": 5000}, "'sequence_length' is 5,000 with 4,096 positions"),
        ({"accumulation": 5}, "a step of 4 rows cannot be divided into 5 passes"),
    ],
)
def test_settings_that_do_not_fit_together_are_an_error(inputs, tmp_path, changes, what):
    with pytest.raises(ConfigError, match=what):
        build(inputs, tmp_path, **changes)


@pytest.mark.filterwarnings("ignore")
def test_a_loss_that_is_no_number_stops_the_run(inputs, tmp_path):
    with pytest.raises(TrainingError, match=r"the loss of step \d is nan"):
        build(inputs, tmp_path, learning_rate=1e30, matrix_learning_rate=1e30)


def test_samples_and_corpus_together_are_an_error(inputs, tmp_path):
    with pytest.raises(ConfigError, match="both of --samples and --corpus"):
        build_base_model(
            TINY,
            samples_path=inputs / "corpus.jsonl",
            corpus_folder=inputs / "corpus",
            tokenizer_folder=inputs / "tokenizer",
            output=tmp_path / "m",
            log_path=tmp_path / "l.json",
            state_root=tmp_path / "s",
        )


def test_a_tokenizer_that_is_not_there_is_an_error(inputs, tmp_path):
    with pytest.raises(ModelError, match="no tokenizer"):
        build_base_model(
            TINY,
            samples_path=inputs / "corpus.jsonl",
            tokenizer_folder=tmp_path / "nothing",
            output=tmp_path / "m",
            log_path=tmp_path / "l.json",
            state_root=tmp_path / "s",
        )


def test_a_corpus_of_another_tokenizer_is_an_error(inputs, tmp_path):
    about = json.loads((inputs / "corpus/corpus.json").read_text())
    for file in (inputs / "corpus").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "corpus.json").write_text(json.dumps({**about, "vocab_size": 2048}))
    with pytest.raises(DataError, match="ids of another tokenizer, of 2,048 entries"):
        build_base_model(
            TrainBaseModel(),
            corpus_folder=tmp_path,
            tokenizer_folder=inputs / "tokenizer",
            output=tmp_path / "m",
            log_path=tmp_path / "l.json",
            state_root=tmp_path / "s",
        )


def test_a_new_log_is_empty():
    assert TrainingLog().num_steps == 0
    assert all(not value for value in vars(TrainingLog()).values())


def test_launched_processes_that_do_not_know_each_other_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(training, "Accelerator", lambda **_: SimpleNamespace(num_processes=1))
    with pytest.raises(TrainingError, match=r"2 processes were started, and accelerate joined 1"):
        training.make_accelerator()


def test_as_many_processes_divide_a_step_as_a_launcher_started(inputs, tmp_path, monkeypatch):
    class Loaded(Exception):
        pass

    def load(source, tokenizer, settings):
        raise Loaded(f"{settings.num_processes} processes")

    monkeypatch.setattr(building, "make_accelerator", lambda: SimpleNamespace(num_processes=8))
    monkeypatch.setattr(building, "load_samples", load)
    with pytest.raises(Loaded, match="8 processes"):
        build(inputs, tmp_path, num_processes=1)


@pytest.mark.parametrize(("accumulation", "num_rows"), [(1, 4), (2, 2), (4, 1)])
def test_too_little_memory_is_an_error_that_says_what_to_change(
    inputs, tmp_path, monkeypatch, accumulation, num_rows
):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    monkeypatch.setattr("transformers.Qwen3Model.forward", full)
    with pytest.raises(DeviceError, match=r"Tried to allocate 2\.00 GiB") as caught:
        build(inputs, tmp_path, kind="packed", accumulation=accumulation)
    assert f"passes of {num_rows} rows x up to 16 tokens" in caught.value.what
    more = "more accumulation, up to 4, takes the same steps"
    assert (more in caught.value.hint) is (num_rows > 1)
    assert "sequence_length" in caught.value.hint

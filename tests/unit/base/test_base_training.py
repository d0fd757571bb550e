import json
import math

import pytest
import torch
from support import ROOT
from transformers import AutoModelForCausalLM

from sluice.base.batches import plan_batches
from sluice.base.building import build_base_model
from sluice.base.muon import Muon, orthogonalise
from sluice.base.training import (
    TrainingLog,
    make_model,
    make_optimizers,
    pad_batch,
    response_loss,
    schedule,
    train,
)
from sluice.chat import EncodedSample, load_tokenizer
from sluice.errors import DataError, ModelError
from sluice.records import Message, Sample, write_samples
from sluice.settings.base_model import TrainBaseModel
from sluice.tokenizer.training import train_tokenizer, write_tokenizer

TEMPLATE = (ROOT / "resources/tokenizer/chat_template.jinja").read_text()
TINY = TrainBaseModel(
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    intermediate_size=16,
    num_steps=6,
    batch_size=4,
    rise_steps=2,
    checkpoint_every=3,
)


def _samples():
    for n in range(20):
        messages = (
            Message(role="user", content=f"What is {n}+1?"),
            Message(role="assistant", content=f"Answer: {n + 1}" + "." * (n % 5)),
        )
        yield Sample(messages=messages, dataset="some", id=f"some_{n}")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_samples(folder / "corpus.jsonl", _samples())
    tokenizer = train_tokenizer(_samples(), vocab_size=300)
    write_tokenizer(tokenizer, chat_template=TEMPLATE, folder=folder / "tokenizer")
    return folder


def _build(inputs, target, *, settings=TINY):
    build_base_model(
        settings,
        samples_path=inputs / "corpus.jsonl",
        tokenizer_folder=inputs / "tokenizer",
        output=target / "final_model",
        log_path=target / "training_log.json",
        state_root=target / "state",
    )


@pytest.fixture(scope="module")
def built(inputs, tmp_path_factory):
    target = tmp_path_factory.mktemp("built")
    _build(inputs, target)
    return target


def _files(target):
    folder = target / "final_model"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**files, "log": (target / "training_log.json").read_bytes()}


def test_model_folder_loads_with_auto_classes(built):
    model = AutoModelForCausalLM.from_pretrained(built / "final_model")
    tokenizer = load_tokenizer(built / "final_model")
    assert model.config.model_type == "qwen3"
    assert model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.dtype == torch.float32


def test_log_holds_every_step_and_ends_lower_than_it_began(built):
    log = json.loads((built / "training_log.json").read_text())
    assert len(log["losses"]) == len(log["learning_rates"]) == 6
    assert log["losses"][-1] < log["losses"][0]
    # A model that knows nothing spreads its probability over all 300 tokens.
    assert log["losses"][0] == pytest.approx(math.log(300), rel=0.05)


def test_the_same_inputs_give_the_same_bytes(inputs, built, tmp_path):
    _build(inputs, tmp_path)
    assert _files(tmp_path) == _files(built)


class _KilledError(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_bytes(inputs, built, tmp_path, monkeypatch):
    whole_pad_batch = pad_batch
    calls = 0

    def killed_in_the_fifth_step(samples, *, pad):
        nonlocal calls
        calls += 1
        if calls == 5:
            raise _KilledError
        return whole_pad_batch(samples, pad=pad)

    monkeypatch.setattr("sluice.base.training.pad_batch", killed_in_the_fifth_step)
    with pytest.raises(_KilledError):
        _build(inputs, tmp_path)
    assert not (tmp_path / "final_model").exists()
    _build(inputs, tmp_path)
    assert calls == 5 + 3  # steps 4 to 6 after the note of step 3
    assert _files(tmp_path) == _files(built)


def test_progress_is_forgotten_once_the_model_is_written(built):
    assert not list((built / "state").rglob("progress.pt"))


def test_progress_of_other_settings_is_not_used(inputs, built, tmp_path):
    _build(inputs, tmp_path, settings=TINY.model_copy(update={"seed": 7}))
    assert _files(tmp_path)["model.safetensors"] != _files(built)["model.safetensors"]


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


def test_a_corpus_without_responses_is_an_error(inputs, tmp_path):
    model = make_model(load_tokenizer(inputs / "tokenizer"), TINY)
    silent = [EncodedSample([1, 2, 3], [False, False, False])]
    with pytest.raises(DataError, match="no sample of the corpus has a response"):
        train(model, silent, settings=TINY, state=tmp_path, pad_token_id=0)


@pytest.fixture(scope="module")
def model(inputs):
    return make_model(load_tokenizer(inputs / "tokenizer"), TINY)


LONG = EncodedSample([5, 6, 7, 8, 9, 10], [False, False, True, True, False, True])
SHORT = EncodedSample([11, 12, 13], [False, True, True])


def test_padded_batch_has_targets_on_responses_alone():
    inputs_BT, targets_BT = pad_batch([LONG, SHORT], pad=0)
    assert inputs_BT.tolist() == [[5, 6, 7, 8, 9], [11, 12, 0, 0, 0]]
    assert targets_BT.tolist() == [[-100, 7, 8, -100, 10], [12, 13, -100, -100, -100]]


def test_response_loss_is_the_mean_over_response_tokens_of_full_logits(model):
    inputs_BT, targets_BT = pad_batch([LONG], pad=0)
    with torch.no_grad():
        log_p = model(input_ids=inputs_BT).logits.log_softmax(-1)[0]
        by_hand = -(log_p[1, 7] + log_p[2, 8] + log_p[4, 10]) / 3
        loss = response_loss(model, inputs_BT, target_ids_BT=targets_BT)
    assert loss.item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_padding_does_not_change_the_loss(model):
    with torch.no_grad():
        inputs_BT, targets_BT = pad_batch([LONG, SHORT], pad=0)
        together = response_loss(model, inputs_BT, target_ids_BT=targets_BT)
        alone = [
            response_loss(model, one_BT, target_ids_BT=target_BT)
            for one_BT, target_BT in (pad_batch([LONG], pad=0), pad_batch([SHORT], pad=0))
        ]
    assert together.item() == pytest.approx((3 * alone[0] + 2 * alone[1]).item() / 5, abs=1e-6)


def test_an_epoch_visits_no_sample_twice_and_batches_are_of_like_length():
    lengths = [n % 37 for n in range(640)]
    plan = plan_batches(lengths, batch_size=32, num_steps=20, seed=1)
    visited = [index for batch in plan for index in batch]
    assert sorted(visited) == list(range(640))
    spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in plan]
    assert max(spread) <= 3  # 37 lengths over 20 sorted batches


def test_plan_of_fewer_steps_is_the_beginning_of_the_longer_plan():
    lengths = list(range(100))
    short = plan_batches(lengths, batch_size=8, num_steps=5, seed=1)
    assert plan_batches(lengths, batch_size=8, num_steps=50, seed=1)[:5] == short


def test_epochs_differ():
    plan = plan_batches([1] * 64, batch_size=8, num_steps=16, seed=1)
    assert plan[:8] != plan[8:]


def test_a_batch_larger_than_the_corpus_holds_it_whole():
    plan = plan_batches([3, 1, 2], batch_size=8, num_steps=2, seed=1)
    assert [sorted(batch) for batch in plan] == [[0, 1, 2]] * 2


def test_schedule_rises_to_one_and_falls_to_almost_nothing():
    settings = TrainBaseModel(num_steps=110, rise_steps=10)
    assert [schedule(step, settings) for step in (0, 4, 9, 10)] == [0.1, 0.5, 1.0, 1.0]
    assert schedule(60, settings) == pytest.approx(0.5)  # half of the cosine
    assert schedule(109, settings) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))


@pytest.mark.parametrize("shape", [(8, 8), (16, 4), (4, 16)])
def test_step_keeps_the_gradients_singular_vectors_and_has_values_near_one(shape):
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(shape))
    weight.grad = torch.randn(shape, generator=generator)
    u, _, vh = torch.linalg.svd(weight.grad, full_matrices=False)
    Muon([weight], lr=1.0, momentum=0.0).step()
    scale = max(1.0, shape[0] / shape[1]) ** 0.5
    core = u.T @ (-weight.detach() / scale) @ vh.T
    assert torch.allclose(core, torch.diag(core.diag()), atol=1e-4)
    assert 0.6 < core.diag().min() <= core.diag().max() < 1.3


def test_muon_takes_a_step_of_the_length_asked_for():
    weight = torch.nn.Parameter(torch.zeros(4, 4))
    weight.grad = torch.eye(4) * 123.0
    Muon([weight], lr=0.5, momentum=0.0).step()
    # The gradient's size does not count; its direction does.
    assert torch.allclose(weight, -0.5 * orthogonalise(torch.eye(4)[None])[0])


def test_matrices_of_one_batch_do_not_mix():
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(shape, generator=generator) for shape in [(8, 4), (4, 8), (4, 8)]]

    def stepped(chosen):
        weights = [torch.nn.Parameter(torch.zeros_like(each)) for each in chosen]
        for weight, gradient in zip(weights, chosen, strict=True):
            weight.grad = gradient.clone()
        Muon(weights, lr=0.1).step()
        return weights

    together = stepped(gradients)
    for weight, gradient in zip(together, gradients, strict=True):
        assert torch.allclose(weight, stepped([gradient])[0], atol=1e-6)


def test_muon_moves_matrices_and_adam_the_rest(model):
    muon, adam = make_optimizers(model, TINY)
    by_muon = {id(weight) for group in muon.param_groups for weight in group["params"]}
    by_adam = {id(weight) for group in adam.param_groups for weight in group["params"]}
    named = dict(model.named_parameters())
    assert by_muon.isdisjoint(by_adam)
    assert by_muon | by_adam == {id(weight) for weight in named.values()}
    assert id(named["model.embed_tokens.weight"]) in by_adam
    assert id(named["model.layers.0.mlp.down_proj.weight"]) in by_muon


def test_a_new_log_is_empty():
    assert vars(TrainingLog()) == {"losses": [], "learning_rates": [], "num_tokens": 0}

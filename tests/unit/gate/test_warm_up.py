"""Gates learn, the backbone does not, and a crash does not show."""

import math

import pytest
import torch
from gate_samples import make_sample, make_samples, silent_sample

from sluice.errors import DataError
from sluice.gate import warm_up
from sluice.gate.modeling import gate_parameters
from sluice.gate.warm_up import choose_samples, gate_loss, token_weights, warm_up_gate
from sluice.settings.gate import WarmUpGate

SAMPLES = make_samples(12)
SETTINGS = WarmUpGate(warm_up_steps=6, warm_up_batch_size=4, max_tokens=256)


def _settings(**changes):
    return SETTINGS.model_copy(update=changes)


def _state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture
def train(gated, tokenizer, tmp_path):
    (tmp_path / "state").mkdir()

    def run(*, samples=SAMPLES, state=tmp_path / "state", **changes):
        return warm_up_gate(gated, tokenizer, samples, settings=_settings(**changes), state=state)

    return run


# The loss, worked out one token at a time

LOGITS_BTL = torch.tensor(
    [
        [[1.0, -2.0], [0.5, 3.0], [-1.0, 0.0], [9.0, 9.0]],
        [[-0.5, 1.5], [2.0, -1.0], [7.0, 7.0], [8.0, 8.0]],
        [[5.0, 5.0], [5.0, 5.0], [5.0, 5.0], [5.0, 5.0]],
    ]
)
COUNTED_BT = torch.tensor(
    [[True, True, True, False], [False, True, False, False], [False, False, False, False]]
)
IS_REAL_B = torch.tensor([True, False, True])


def _sigmoid(x):
    return 1 / (1 + math.exp(-x))


def _token_losses(loss_type):
    """The loss of each counted token, mean over layers, sample by sample."""
    losses = []
    for row, is_real in enumerate(IS_REAL_B.tolist()):
        losses.append([])
        for place, logits in enumerate(LOGITS_BTL[row].tolist()):
            if COUNTED_BT[row, place] and loss_type == "sigmoid":
                chances = [_sigmoid(x) if is_real else 1 - _sigmoid(x) for x in logits]
                losses[-1].append(-sum(math.log(p) for p in chances) / len(chances))
            elif COUNTED_BT[row, place]:
                losses[-1].append(sum(_sigmoid(x) for x in logits) / len(logits))
    return losses


def _loss(logits_BTL, counted_BT, is_real_B, settings):
    weights_BT = token_weights(counted_BT, settings=settings)
    return gate_loss(logits_BTL, weights_BT, is_real_B, settings=settings)


@pytest.mark.parametrize("loss_type", ["sigmoid", "linear"])
def test_loss_averaged_over_samples_counts_each_sample_the_same(loss_type):
    settings = _settings(quality_loss_type=loss_type, warm_up_average="sample")
    first, second, empty = _token_losses(loss_type)
    assert empty == []
    by_hand = (sum(first) / 3 + second[0]) / 2
    found = _loss(LOGITS_BTL, COUNTED_BT, IS_REAL_B, settings)
    assert found.item() == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("loss_type", ["sigmoid", "linear"])
def test_loss_averaged_over_tokens_counts_each_token_the_same(loss_type):
    settings = _settings(quality_loss_type=loss_type, warm_up_average="token")
    first, second, _ = _token_losses(loss_type)
    found = _loss(LOGITS_BTL, COUNTED_BT, IS_REAL_B, settings)
    assert found.item() == pytest.approx((sum(first) + second[0]) / 4, abs=1e-6)


def test_loss_of_extreme_logits_is_finite():
    logits_BTL = torch.full((2, 1, 2), 500.0)
    counted_BT, is_real_B = torch.ones(2, 1, dtype=torch.bool), torch.tensor([True, False])
    loss = _loss(logits_BTL, counted_BT, is_real_B, SETTINGS)
    assert loss.item() == pytest.approx(250.0)  # 0 for the real one, 500 for the flawed one


@pytest.mark.parametrize("average", ["sample", "token"])
def test_batch_in_which_nothing_counts_has_a_loss_of_zero(average):
    logits_BTL = LOGITS_BTL.clone().requires_grad_()
    nothing_BT = torch.zeros_like(COUNTED_BT)
    loss = _loss(logits_BTL, nothing_BT, IS_REAL_B, _settings(warm_up_average=average))
    loss.backward()
    assert loss.item() == 0.0
    assert not logits_BTL.grad.any()


def test_weight_is_a_factor_on_the_loss():
    once, thrice = (
        _loss(LOGITS_BTL, COUNTED_BT, IS_REAL_B, _settings(quality_loss_weight=weight)).item()
        for weight in (1.0, 3.0)
    )
    assert thrice == pytest.approx(3 * once)


def _first_loss_by_hand(gated, tokenizer, settings):
    """The loss of the first step, one sample at a time, every response token found by hand."""
    texts, is_real_B = warm_up._batch(SAMPLES, step=0, settings=settings)
    of_samples = []
    for sample, is_real in zip(texts, is_real_B.tolist(), strict=True):
        messages = [message.model_dump() for message in sample.messages]
        encoded = tokenizer.apply_chat_template(
            messages, return_dict=True, return_assistant_tokens_mask=True
        )
        ids = encoded["input_ids"]
        counted = [
            place
            for place, flag in enumerate(encoded["assistant_masks"])
            if flag and not (settings.mask_special_tokens and ids[place] >= 256)
        ]
        with torch.no_grad():
            gates = gated(input_ids=torch.tensor([ids]), output_router_logits=True).router_logits
        losses = []
        for place in counted:
            open_share = [_sigmoid(gate[0, place].item()) for gate in gates]
            if settings.quality_loss_type == "linear":
                losses.append(sum(open_share) / 2)
            else:
                chances = [p if is_real else 1 - p for p in open_share]
                losses.append(-sum(math.log(p) for p in chances) / 2)
        of_samples.append(losses)
    if settings.warm_up_average == "token":
        every = [loss for losses in of_samples for loss in losses]
        return sum(every) / len(every)
    return sum(sum(losses) / len(losses) for losses in of_samples) / len(of_samples)


@pytest.mark.parametrize("is_masked", [True, False], ids=["masked", "unmasked"])
@pytest.mark.parametrize("average", ["sample", "token"])
@pytest.mark.parametrize("loss_type", ["sigmoid", "linear"])
def test_first_loss_is_that_of_a_plain_loop_over_samples_and_tokens(
    gated, tokenizer, train, loss_type, average, is_masked
):
    changes = {
        "quality_loss_type": loss_type,
        "warm_up_average": average,
        "mask_special_tokens": is_masked,
    }
    _, losses = train(warm_up_steps=1, **changes)
    by_hand = _first_loss_by_hand(gated, tokenizer, _settings(**changes))
    assert losses == [pytest.approx(by_hand, abs=1e-5)]


# What a batch holds


def test_sigmoid_batch_has_a_flawed_copy_of_each_sample():
    texts, is_real_B = warm_up._batch(SAMPLES, step=3, settings=SETTINGS)
    assert is_real_B.tolist() == [True] * 4 + [False] * 4
    real, flawed = texts[:4], texts[4:]
    assert len({sample.id for sample in real}) == 4
    for sample, copy in zip(real, flawed, strict=True):
        assert sample in SAMPLES
        assert copy.id == sample.id
        assert copy.messages[:-1] == sample.messages[:-1]
        assert copy.messages[-1] != sample.messages[-1]


def test_linear_batch_has_real_samples_alone():
    texts, is_real_B = warm_up._batch(
        SAMPLES, step=0, settings=_settings(quality_loss_type="linear")
    )
    assert is_real_B.tolist() == [True] * 4
    assert all(sample in SAMPLES for sample in texts)


def test_batches_depend_on_seed_and_step_alone():
    first, again, later, other = (
        warm_up._batch(SAMPLES, step=step, settings=_settings(seed=seed))[0]
        for step, seed in ((0, 1), (0, 1), (1, 1), (0, 2))
    )
    assert first == again
    assert first != later
    assert first != other


def test_batch_is_no_larger_than_the_samples():
    texts, _ = warm_up._batch(SAMPLES[:3], step=0, settings=_settings(warm_up_batch_size=32))
    assert len(texts) == 6


# Training


@pytest.mark.parametrize("changes", [{}, {"gate_mode": "lora"}, {"quality_loss_type": "linear"}])
def test_gates_change_and_the_model_does_not(gated, train, changes):
    before = _state_of(gated)
    weights, losses = train(**changes)
    after = _state_of(gated)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in gated.parameters())
    assert list(weights) == list(gate_parameters(gated))
    for name, weight in weights.items():
        assert weight.dtype == torch.float32
        assert weight.shape == (64,)
        assert not torch.equal(weight, before[name])
    assert len(losses) == 6


@pytest.mark.parametrize("average", ["sample", "token"])
def test_gates_do_not_depend_on_how_many_tokens_run_at_once(train, average):
    whole, whole_losses = train(warm_up_average=average, tokens_per_batch=8192)
    parts, losses = train(warm_up_average=average, tokens_per_batch=64)
    assert losses == pytest.approx(whole_losses, rel=1e-5)
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("mode", ["full_rank", "lora"])
@pytest.mark.parametrize("loss_type", ["sigmoid", "linear"])
def test_loss_falls(train, mode, loss_type):
    _, losses = train(
        warm_up_steps=40,
        warm_up_flaws=("noisy_characters",),
        gate_mode=mode,
        quality_loss_type=loss_type,
    )
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_low_rank_update_has_the_rank_asked_for(gated, train):
    start_LD = torch.stack([weight.detach() for weight in gate_parameters(gated).values()])
    weights, _ = train(gate_mode="lora", gate_lora_rank=1, warm_up_steps=10)
    update_LD = torch.stack(list(weights.values())) - start_LD
    values = torch.linalg.svdvals(update_LD)
    assert values[0] > 1e-2
    assert values[1] < 1e-5  # both layers moved along one direction
    weights, _ = train(warm_up_steps=10)
    values = torch.linalg.svdvals(torch.stack(list(weights.values())) - start_LD)
    assert values[1] > 1e-2


def test_seed_alone_decides_the_weights(train):
    def trained(seed, **changes):
        torch.rand(5)  # the global generator has no say
        weights, losses = train(seed=seed, **changes)
        return torch.stack(list(weights.values())), losses

    for mode in ("full_rank", "lora"):
        first, first_losses = trained(1, gate_mode=mode)
        again, again_losses = trained(1, gate_mode=mode)
        other, _ = trained(2, gate_mode=mode)
        assert torch.equal(first, again)
        assert first_losses == again_losses
        assert not torch.equal(first, other)


def test_learning_rate_falls_along_a_cosine():
    settings = _settings(warm_up_steps=100, warm_up_learning_rate=0.02)
    rates = [warm_up._learning_rate(step, settings) for step in (0, 25, 50, 99)]
    by_hand = [0.02, 0.01 * (1 + math.sqrt(0.5)), 0.01, 0.01 * (1 - math.cos(math.pi / 100))]
    assert rates == pytest.approx(by_hand)


# Crashes


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("mode", ["full_rank", "lora"])
@pytest.mark.parametrize("dies_at", [1, 4])
def test_a_killed_training_goes_on_to_the_same_weights(
    gated, train, tmp_path, monkeypatch, mode, dies_at
):
    monkeypatch.setattr(warm_up, "_SAVE_EVERY_S", -1.0)  # every step is saved
    (tmp_path / "other").mkdir()
    whole, whole_losses = train(gate_mode=mode, state=tmp_path / "other")
    passes = []

    def count(module, inputs):
        passes.append(1)
        if len(passes) == dies_at:
            raise _KilledError

    hook = gated.model.embed_tokens.register_forward_pre_hook(count)
    try:
        with pytest.raises(_KilledError):
            train(gate_mode=mode)
        resumed, losses = train(gate_mode=mode)
    finally:
        hook.remove()
    assert len(passes) == 7  # six steps, and the one that died
    assert losses == whole_losses
    assert all(torch.equal(resumed[name], weight) for name, weight in whole.items())


# Which samples gates learn from


def test_all_samples_are_chosen_in_the_order_of_their_ids():
    assert choose_samples(reversed(SAMPLES), fraction=1.0, seed=1) == SAMPLES


def test_share_is_drawn_by_id_so_that_order_and_company_do_not_count():
    many = [make_sample(n, "Yes.") for n in range(2000)]
    chosen = choose_samples(many, fraction=0.25, seed=1)
    assert len(chosen) == pytest.approx(500, abs=80)  # 4 standard errors
    first = {sample.id for sample in many[:1000]}
    half = choose_samples(many[:1000], fraction=0.25, seed=1)
    assert half == [sample for sample in chosen if sample.id in first]
    assert choose_samples(many, fraction=0.25, seed=2) != chosen
    assert set(map(id, chosen)) <= set(map(id, choose_samples(many, fraction=0.5, seed=1)))


def test_samples_without_an_answer_are_not_chosen():
    samples = [*SAMPLES, silent_sample(90), make_sample(91, "")]
    assert choose_samples(samples, fraction=1.0, seed=1) == SAMPLES


@pytest.mark.parametrize("samples", [[], SAMPLES[:1], [SAMPLES[0], silent_sample(90)]])
def test_fewer_than_two_samples_are_an_error(samples):
    with pytest.raises(DataError, match=f"{min(len(samples), 1)} samples are left") as caught:
        choose_samples(samples, fraction=1.0, seed=1)
    assert "gate.warm_up_fraction" in str(caught.value)


@pytest.mark.parametrize("mode", ["full_rank", "lora"])
def test_step_too_large_for_the_memory_is_halved_and_gates_stay(
    gated, train, monkeypatch, tmp_path, mode
):
    whole, losses = train(gate_mode=mode)
    sizes, forward = [], gated.model.forward

    def limited(*args, input_ids, **more):
        sizes.append(len(input_ids))
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return forward(*args, input_ids=input_ids, **more)

    monkeypatch.setattr(gated.model, "forward", limited)
    (tmp_path / "other").mkdir()
    in_parts, losses_in_parts = train(gate_mode=mode, state=tmp_path / "other")
    assert max(sizes) > 3
    assert losses_in_parts == pytest.approx(losses, rel=1e-4)
    for name, weight in whole.items():
        torch.testing.assert_close(in_parts[name], weight, rtol=1e-3, atol=1e-4)

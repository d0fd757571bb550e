"""The gradient of every step is that of the stated objective, by a reference written apart.

The reference runs one sample at a time through the untouched model, takes its logits, and adds up
w l / (samples of the step x mean weight of the data set) in a bare loop.
"""

import pytest
import torch
from samples_for_training import (
    QUIET,
    checkpoint,
    encode,
    make_sample,
    mixed_samples,
    relative_distance,
)
from transformers import AutoModelForCausalLM, TrainerCallback

from sluice.errors import ModelError
from sluice.settings.training import FineTune
from sluice.training import loss as loss_module
from sluice.training.batching import collate
from sluice.training.history import History
from sluice.training.loss import attach_loss
from sluice.training.runs import make_plan, make_trainer

RTOL = 1e-5


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("objective"))


def reference_nll(model, sample):
    """Mean NLL of one sample over its response tokens, by the weights of its tokens."""
    ids = torch.tensor([sample.input_ids])
    log_p = model(input_ids=ids).logits[0].float().log_softmax(-1)
    total = weight_sum = 0.0
    for t in range(1, len(sample.input_ids)):
        u = sample.token_weights[t]
        if u:
            total = total - u * log_p[t - 1, sample.input_ids[t]]
            weight_sum += u
    return total / weight_sum


def reference(base, step, *, mean_weight):
    """Loss and full-model gradient of one step's samples."""
    model = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    total = sum(sample.weight * reference_nll(model, sample) for sample in step)
    loss = total / (len(step) * mean_weight)
    loss.backward()
    return float(loss.detach()), [weight.grad for weight in model.parameters()]


class _Recorder(TrainerCallback):
    def __init__(self):
        self.gradients = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.gradients.append([weight.grad.clone() for weight in model.parameters()])


def trained_gradients(folder, base, samples, **settings):
    """What the real trainer hands to the optimiser in each step; weights stay where they are."""
    settings = FineTune(
        **{
            **QUIET,
            "method": "full",
            "learning_rate": 1e-30,
            "max_grad_norm": 1e9,
            "num_epochs": 1,
            **settings,
        }
    )
    plan = make_plan(samples, settings)
    trainer = make_trainer(base, plan, settings, state=folder, pad=0, history=History())
    recorder = _Recorder()
    trainer.add_callback(recorder)
    trainer.train()
    return plan, trainer.history.losses, recorder.gradients


@pytest.mark.parametrize(
    ("batch_size", "accumulation", "packing"),
    [(1, 8, False), (8, 1, False), (2, 4, False), (3, 3, False), (8, 1, True), (2, 4, True)],
    ids=lambda value: str(value),
)
def test_every_step_has_the_gradient_of_the_objective(
    tmp_path, base, batch_size, accumulation, packing
):
    samples = encode(tmp_path, mixed_samples(11))  # the second step is partial
    plan, losses, gradients = trained_gradients(
        tmp_path,
        base,
        samples,
        batch_size=batch_size,
        accumulation=accumulation,
        packing=packing,
        max_length=192 if packing else 4096,
    )
    mean = sum(sample.weight for sample in samples) / len(samples)
    size = batch_size * accumulation
    assert [len(step) for step in plan.steps] == [size, 11 - size]
    for step, loss, gradient in zip(plan.steps, losses, gradients, strict=True):
        expected, by_hand = reference(base, [samples[i] for i in step], mean_weight=mean)
        assert loss == pytest.approx(expected, rel=RTOL)
        assert relative_distance(gradient, by_hand) < RTOL


def test_key_tokens_count_more_within_their_sample_only(tmp_path, base):
    samples = encode(
        tmp_path, mixed_samples(5), focus=(r"re:\d+",), context_window=1, focus_weight=4.0
    )
    assert {u for sample in samples for u in sample.token_weights} == {0.0, 1.0, 4.0}
    _, losses, gradients = trained_gradients(tmp_path, base, samples, batch_size=5, accumulation=1)
    mean = sum(sample.weight for sample in samples) / 5
    expected, by_hand = reference(base, samples, mean_weight=mean)
    assert losses == [pytest.approx(expected, rel=RTOL)]
    assert relative_distance(gradients[0], by_hand) < RTOL


def test_copies_of_weight_one_over_n_are_one_sample(tmp_path, base):
    prompts = [(f"Question {n}?", f"Answer {n} is {'long ' * n}.") for n in range(4)]
    single = [make_sample(n, *pair) for n, pair in enumerate(prompts)]
    copies = {0: 1, 1: 3, 2: 1, 3: 5}
    copied = [
        make_sample(10 * n + copy, *pair, weight=1 / copies[n])
        for n, pair in enumerate(prompts)
        for copy in range(copies[n])
    ]
    found = [
        trained_gradients(
            tmp_path / name, base, encode(tmp_path, rows), batch_size=2, accumulation=len(rows)
        )
        for name, rows in (("single", single), ("copied", copied))
    ]
    (_, losses, gradients), (_, losses_copied, gradients_copied) = found
    assert losses_copied == [pytest.approx(losses[0], rel=RTOL)]
    assert relative_distance(gradients_copied[0], gradients[0]) < RTOL
    unweighted = encode(tmp_path, copied, use_weights=False)
    *_, others = trained_gradients(tmp_path, base, unweighted, batch_size=2, accumulation=10)
    assert relative_distance(others[0], gradients[0]) > 0.01


def test_order_of_rows_in_the_file_is_nothing(tmp_path, base):
    rows = mixed_samples(7)
    forth = trained_gradients(tmp_path, base, encode(tmp_path, rows))
    back = trained_gradients(tmp_path, base, encode(tmp_path, rows[::-1]))
    assert forth[1] == back[1]
    assert relative_distance(forth[2][0], back[2][0]) == 0


def test_steps_of_an_epoch_average_to_the_objective_over_the_data_set(tmp_path, base):
    samples = encode(tmp_path, mixed_samples(12))
    _, losses, _ = trained_gradients(tmp_path, base, samples)  # three whole steps
    mean = sum(sample.weight for sample in samples) / 12
    expected, _ = reference(base, samples, mean_weight=mean)
    assert sum(losses) / 3 == pytest.approx(expected, rel=RTOL)


def test_gradient_checkpointing_changes_nothing(tmp_path, base):
    samples = encode(tmp_path, mixed_samples(4))
    plain = trained_gradients(tmp_path, base, samples)
    less_memory = trained_gradients(tmp_path, base, samples, gradient_checkpointing=True)
    assert relative_distance(less_memory[2][0], plain[2][0]) < RTOL


def test_logits_in_chunks_change_nothing(tmp_path, base, monkeypatch):
    samples = encode(tmp_path, mixed_samples(4))
    whole = trained_gradients(tmp_path, base, samples)
    monkeypatch.setattr(loss_module, "_MOST_LOGITS", 5 * 262)  # five tokens a chunk
    chunked = trained_gradients(tmp_path, base, samples)
    assert chunked[1] == [pytest.approx(whole[1][0], rel=RTOL)]
    assert relative_distance(chunked[2][0], whole[2][0]) < RTOL


def test_logits_are_made_for_response_tokens_only(tmp_path, base):
    samples = encode(tmp_path, mixed_samples(3))
    settings = FineTune(**{**QUIET, "method": "full", "batch_size": 3})
    plan = make_plan(samples, settings)
    trainer = make_trainer(base, plan, settings, state=tmp_path, pad=0, history=History())
    rows = []
    head = trainer.model.get_output_embeddings()
    head.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    for batch in trainer.train_dataset[0]:
        trainer.model(**batch)
    assert sum(rows) == sum(sample.num_targets for sample in samples)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_sample_does_not_see_its_neighbour(tmp_path, base, attention):
    model = AutoModelForCausalLM.from_pretrained(
        base.path, dtype=torch.float32, attn_implementation=attention
    )
    attach_loss(model)
    one, other, third = encode(tmp_path, mixed_samples(3))

    def loss_beside(first):
        rows = [first, third]
        batch = collate(rows, weight_sum=1.0, pad_token_id=0, is_packed=True)
        batch["coefficients"][: first.num_targets] = 0
        return float(model(**batch)["loss"].detach())

    assert loss_beside(one) == pytest.approx(loss_beside(other), rel=1e-6)


def test_model_that_bends_its_logits_is_refused(base):
    model = AutoModelForCausalLM.from_pretrained(base.path)
    plain = model.forward

    def softcapped(**inputs):
        output = plain(**inputs)
        output.logits = output.logits.tanh()
        return output

    model.forward = softcapped
    with pytest.raises(ModelError, match="changes its logits after the output layer"):
        attach_loss(model)

"""What moves which weights, and how far at which step."""

import math

import pytest
import torch
from base_models_for_tests import TINY
from tiny_models import byte_tokenizer

from sluice.base.modeling import make_model
from sluice.base.muon import Muon, orthogonalise
from sluice.base.optimizers import make_optimizers, schedule
from sluice.settings.base_model import TrainBaseModel


def test_schedule_rises_to_one_and_falls_to_almost_nothing():
    settings = TrainBaseModel(num_steps=110, rise_steps=10)
    assert [schedule(step, settings) for step in (0, 4, 9, 10)] == [0.1, 0.5, 1.0, 1.0]
    assert schedule(60, settings) == pytest.approx(0.5)  # half of the cosine
    assert schedule(109, settings) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))


def test_wsd_stays_at_its_peak_and_falls_linearly_over_the_last_steps():
    settings = TrainBaseModel(num_steps=100, rise_steps=10, schedule="wsd", decay_share=0.2)
    assert [schedule(step, settings) for step in (4, 9, 10, 50, 80)] == [0.5, 1.0, 1.0, 1.0, 1.0]
    assert schedule(81, settings) == pytest.approx(19 / 20)
    assert schedule(90, settings) == pytest.approx(10 / 20)
    assert schedule(99, settings) == pytest.approx(1 / 20)


@pytest.mark.parametrize("kind", ["cosine", "wsd"])
def test_final_share_is_what_the_rates_fall_to(kind):
    settings = TrainBaseModel(num_steps=1000, rise_steps=0, schedule=kind, final_share=0.1)
    rates = [schedule(step, settings) for step in range(1000)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert 0.1 <= rates[-1] < 0.106


def test_a_decay_longer_than_what_is_left_after_the_rise_never_exceeds_the_peak():
    settings = TrainBaseModel(num_steps=10, rise_steps=4, schedule="wsd", decay_share=1.0)
    assert [schedule(step, settings) for step in (3, 4, 9)] == pytest.approx([1.0, 0.6, 0.1])


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


def _moved(model, settings):
    """Names of the weights that each optimizer moves, with their peak rates."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    return [
        {
            names[id(weight)]: group["peak_lr"]
            for group in each.param_groups
            for weight in group["params"]
        }
        for each in make_optimizers(model, settings)
    ]


@pytest.mark.parametrize("is_tied", [True, False])
def test_muon_moves_matrices_and_adam_the_rest(is_tied):
    settings = TINY.model_copy(update={"tie_word_embeddings": is_tied})
    model = make_model(byte_tokenizer(), settings)
    by_muon, by_adam = _moved(model, settings)
    assert by_muon.keys().isdisjoint(by_adam)
    assert by_muon.keys() | by_adam.keys() == dict(model.named_parameters()).keys()
    assert "model.embed_tokens.weight" in by_adam
    assert ("lm_head.weight" in by_adam) is not is_tied
    assert "model.layers.0.mlp.down_proj.weight" in by_muon


def test_an_output_layer_has_a_rate_of_its_own_where_one_is_given():
    settings = TINY.model_copy(
        update={"tie_word_embeddings": False, "output_learning_rate": 1e-4, "learning_rate": 0.1}
    )
    _, by_adam = _moved(make_model(byte_tokenizer(), settings), settings)
    assert by_adam["lm_head.weight"] == 1e-4
    assert by_adam["model.embed_tokens.weight"] == 0.1


def test_iterations_in_bfloat16_take_nearly_the_same_step():
    def stepped(dtype):
        weight = torch.nn.Parameter(torch.zeros(8, 16))
        weight.grad = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
        Muon([weight], lr=1.0, dtype=dtype).step()
        return weight.detach()

    exact, rough = stepped(torch.float32), stepped(torch.bfloat16)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).norm() / exact.norm() < 0.05

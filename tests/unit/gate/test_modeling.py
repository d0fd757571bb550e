"""What a gated model returns, and that gates change nothing else."""

import pytest
import torch
from tiny_models import GATED_FAMILIES, write_tiny_checkpoint
from transformers import AutoModelForCausalLM

from sluice.errors import ModelError
from sluice.gate.conversion import convert_checkpoint
from sluice.gate.modeling import (
    draw_gates,
    gate_parameters,
    gated_family,
    recorded_gates,
    set_gate_weights,
)
from sluice.settings.gate import GateShape

TOKENS_BT = torch.randint(0, 262, (2, 11), generator=torch.Generator().manual_seed(5))


def _hidden_before_ffn(model, tokens_BT):
    """What the norm before each FFN puts out, seen by plain hooks."""
    seen = []
    hooks = [
        layer.post_attention_layernorm.register_forward_hook(
            lambda module, inputs, output: seen.append(output)
        )
        for layer in model.model.layers
    ]
    with torch.no_grad():
        model(input_ids=tokens_BT)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", GATED_FAMILIES)
def test_router_logits_are_the_linear_map_of_the_hidden_state_before_each_ffn(
    family, dtype, tmp_path
):
    source = write_tiny_checkpoint(tmp_path / "source", family, dtype=dtype)
    shape = GateShape(quality_gate_init_std=0.2)
    folder = convert_checkpoint(str(source), tmp_path / "gated", shape=shape, seed=1)
    gated = AutoModelForCausalLM.from_pretrained(folder).eval()
    plain = AutoModelForCausalLM.from_pretrained(source).eval()
    with torch.no_grad():
        found = gated(input_ids=TOKENS_BT, output_router_logits=True).router_logits
    hidden_LBTD = _hidden_before_ffn(plain, TOKENS_BT)
    assert len(found) == len(hidden_LBTD) == 2
    for layer, hidden_BTD, found_BT in zip(gated.model.layers, hidden_LBTD, found, strict=True):
        weight_D = layer.mlp.quality_gate.weight.double()
        by_hand_BT = (hidden_BTD.double() * weight_D).sum(-1)
        assert found_BT.shape == (2, 11)
        assert found_BT.dtype == getattr(torch, dtype)
        tolerance = 1e-5 if dtype == "float32" else 0.05  # 8 bits of logits up to 5
        assert torch.allclose(found_BT.double(), by_hand_BT, atol=tolerance)


def test_router_logits_come_only_where_they_are_asked_for(gated):
    with torch.no_grad():
        without = gated(input_ids=TOKENS_BT)
        asked = gated(input_ids=TOKENS_BT, output_router_logits=True)
        refused = gated(input_ids=TOKENS_BT, output_router_logits=False)
    assert "router_logits" not in without
    assert "router_logits" not in refused
    assert torch.equal(asked.logits, without.logits)


def test_config_can_ask_for_router_logits(gated_folder):
    model = AutoModelForCausalLM.from_pretrained(gated_folder).eval()
    model.config.output_router_logits = True
    with torch.no_grad():
        assert len(model(input_ids=TOKENS_BT).router_logits) == 2
        assert "router_logits" not in model(input_ids=TOKENS_BT, output_router_logits=False)


@pytest.mark.parametrize("return_dict", [True, False])
def test_router_logits_may_be_asked_for_together_with_a_return_type(gated, return_dict):
    with torch.no_grad():
        output = gated(input_ids=TOKENS_BT, output_router_logits=True, return_dict=return_dict)
    router_logits = output.router_logits if return_dict else output[-1]
    assert [tuple(gate.shape) for gate in router_logits] == [(2, 11)] * 2
    assert isinstance(output, tuple) != return_dict


def test_router_logits_with_a_cache_are_those_of_the_whole_text(gated):
    with torch.no_grad():
        whole = gated(input_ids=TOKENS_BT, output_router_logits=True).router_logits
        cache = gated(input_ids=TOKENS_BT[:, :10], use_cache=True).past_key_values
        last = gated(input_ids=TOKENS_BT[:, 10:], past_key_values=cache, output_router_logits=True)
    for whole_BT, last_BT in zip(whole, last.router_logits, strict=True):
        assert last_BT.shape == (2, 1)
        assert torch.allclose(last_BT, whole_BT[:, 10:], atol=1e-4)


def test_gated_model_writes_the_text_that_its_source_writes(gated, source):
    plain = AutoModelForCausalLM.from_pretrained(source).eval()
    texts = [
        model.generate(TOKENS_BT, max_new_tokens=12, do_sample=False) for model in (gated, plain)
    ]
    assert texts[0].shape[1] > TOKENS_BT.shape[1]
    assert torch.equal(*texts)


def test_no_hook_is_left_when_a_pass_fails(gated):
    with pytest.raises(RuntimeError, match="in the pass"), recorded_gates(gated):
        raise RuntimeError("in the pass")
    assert not any(layer.mlp._forward_pre_hooks for layer in gated.model.layers)


def test_gates_learn_through_their_logits(gated):
    logits = gated(input_ids=TOKENS_BT, output_router_logits=True).router_logits
    weights = list(gate_parameters(gated).values())
    gradients = torch.autograd.grad(sum(gate.sum() for gate in logits), weights)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def _wide_model(mean, std):
    config_class, model_class = gated_family("qwen3")
    config = config_class(
        vocab_size=8,
        hidden_size=4096,
        intermediate_size=2,
        num_hidden_layers=4,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=2,
        quality_gate_init_mean=mean,
        quality_gate_init_std=std,
    )
    return model_class(config)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.02), (0.5, 0.1), (-1.0, 0.0)])
def test_gates_are_drawn_from_the_normal_distribution_asked_for(mean, std):
    model = _wide_model(mean, std)
    draw_gates(model, seed=1)
    weights = torch.cat([weight.detach() for weight in gate_parameters(model).values()])
    assert len(weights) == 4 * 4096
    # The mean of 16,384 draws is within 4 standard errors, std / 128 each.
    assert weights.mean().item() == pytest.approx(mean, abs=4 * std / 128 + 1e-6)
    assert weights.std().item() == pytest.approx(std, rel=0.03)


def test_a_model_made_without_a_checkpoint_has_gates_of_that_distribution_too():
    weights = torch.cat([w.detach() for w in gate_parameters(_wide_model(0.5, 0.1)).values()])
    assert weights.mean().item() == pytest.approx(0.5, abs=0.005)
    assert weights.std().item() == pytest.approx(0.1, rel=0.03)


def test_layers_differ_and_only_the_seed_decides():
    model = _wide_model(0.0, 0.02)

    def drawn(seed):
        torch.rand(7)  # the global generator has no say
        draw_gates(model, seed=seed)
        return torch.stack([weight.detach().clone() for weight in gate_parameters(model).values()])

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple(row.tolist()) for row in first}) == 4


def test_gate_names_are_those_of_the_checkpoint(gated):
    names = [f"model.layers.{index}.mlp.quality_gate.weight" for index in (0, 1)]
    assert list(gate_parameters(gated)) == names
    assert set(names) <= set(gated.state_dict())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda weights: weights.popitem(),
        lambda weights: weights.update(other=torch.zeros(64)),
        lambda weights: weights.update({name: torch.zeros(32) for name in weights}),
    ],
    ids=["missing", "unknown", "of another size"],
)
def test_gate_weights_of_another_model_are_refused_and_change_nothing(gated, spoil):
    before = {name: weight.detach().clone() for name, weight in gate_parameters(gated).items()}
    weights = {name: torch.zeros(64) for name in before}
    spoil(weights)
    with pytest.raises(ModelError, match="are for another model") as caught:
        set_gate_weights(gated, weights)
    assert "2 gates of sizes [(64,)]" in str(caught.value)
    assert all(torch.equal(before[name], w) for name, w in gate_parameters(gated).items())

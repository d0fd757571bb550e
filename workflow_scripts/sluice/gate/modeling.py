"""Quality gates inside a causal language model: one linear map per layer, read before the FFN.

A gated model is the family's own model with gates hung beside its MLPs, and no copied forward pass:
while ``output_router_logits=True`` is asked for, hooks show each MLP's input to the layer's gate.
Gates change nothing else, so the logits stay bit-equal to the source model's.

Importing this module registers the gated families with AutoConfig and AutoModelForCausalLM.

Shape letters: B samples, T tokens, D hidden size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from sluice.errors import ModelError
from sluice.seeds import derive_seed


@dataclass
class QualityGateOutput(CausalLMOutputWithPast):
    """A causal model's output, and the gate logits: one (B, T) tensor per layer."""

    router_logits: tuple[Tensor, ...] | None = None


class QualityGate(nn.Module):
    """One linear map from a hidden state to a logit; high means worth learning."""

    def __init__(self, hidden_size: int, *, mean: float, std: float) -> None:
        super().__init__()
        # Not in _init_weights: transformers asks the backbone's there, never the gated class's.
        self.weight = nn.Parameter(torch.empty(hidden_size))
        nn.init.normal_(self.weight, mean=mean, std=std)

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """Logits of shape (B, T), in the precision of the gate's weights."""
        return hidden_BTD.to(self.weight.dtype) @ self.weight


@contextmanager
def hidden_before_ffn(model: Any) -> Iterator[list[Tensor]]:
    """While open, a forward pass appends the input of each layer's FFN, (B, T, D)."""
    inputs_LBTD: list[Tensor] = []

    def keep(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        inputs_LBTD.append(arguments[0])

    hooks = [layer.mlp.register_forward_pre_hook(keep) for layer in model.model.layers]
    try:
        yield inputs_LBTD
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def recorded_gates(model: Any) -> Iterator[list[Tensor]]:
    """While open, a forward pass appends the logits of each layer's gate, (B, T)."""
    logits_LBT: list[Tensor] = []

    def ask_gate(mlp: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        gate: Any = mlp.quality_gate
        logits_LBT.append(gate(arguments[0]))

    hooks = [layer.mlp.register_forward_pre_hook(ask_gate) for layer in model.model.layers]
    try:
        yield logits_LBT
    finally:
        for hook in hooks:
            hook.remove()


class GatedCausalLM:
    """Mixed in before a family's ``...ForCausalLM``: adds the gates and returns their logits."""

    model: Any
    config: Any

    def __init__(self, config: Any) -> None:
        super().__init__(config)  # type: ignore[call-arg]
        mean, std = config.quality_gate_init_mean, config.quality_gate_init_std
        for layer in self.model.layers:
            layer.mlp.quality_gate = QualityGate(config.hidden_size, mean=mean, std=std)
        self.post_init()  # type: ignore[attr-defined]

    def forward(
        self, *arguments: Any, output_router_logits: bool | None = None, **options: Any
    ) -> Any:
        """The family's own forward pass; with ``output_router_logits`` also the gates' logits."""
        if output_router_logits is None:
            output_router_logits = getattr(self.config, "output_router_logits", False)
        if not output_router_logits:
            return super().forward(*arguments, **options)  # type: ignore[misc]
        is_tuple = options.pop("return_dict", None) is False
        with recorded_gates(self) as logits_LBT:
            output = super().forward(*arguments, **options, return_dict=True)  # type: ignore[misc]
        gated = QualityGateOutput(**output, router_logits=tuple(logits_LBT))
        return gated.to_tuple() if is_tuple else gated


class GateChoices:
    """Mixed into a family's config: how gates start and what they learn."""

    quality_gate_init_mean: float = 0.0
    quality_gate_init_std: float = 0.02
    quality_loss_weight: float = 1.0
    quality_loss_type: str = "sigmoid"


class QualityGateQwen3Config(GateChoices, Qwen3Config):
    """Qwen3 with gates."""

    model_type = "quality_gate_qwen3"


class QualityGateQwen3ForCausalLM(GatedCausalLM, Qwen3ForCausalLM):
    """Qwen3 with gates."""

    config_class = QualityGateQwen3Config


class QualityGateQwen2Config(GateChoices, Qwen2Config):
    """Qwen2 and Qwen2.5 with gates."""

    model_type = "quality_gate_qwen2"


class QualityGateQwen2ForCausalLM(GatedCausalLM, Qwen2ForCausalLM):
    """Qwen2 and Qwen2.5 with gates."""

    config_class = QualityGateQwen2Config


class QualityGateLlamaConfig(GateChoices, LlamaConfig):
    """Llama with gates."""

    model_type = "quality_gate_llama"


class QualityGateLlamaForCausalLM(GatedCausalLM, LlamaForCausalLM):
    """Llama with gates."""

    config_class = QualityGateLlamaConfig


class QualityGateMistralConfig(GateChoices, MistralConfig):
    """Mistral with gates."""

    model_type = "quality_gate_mistral"


class QualityGateMistralForCausalLM(GatedCausalLM, MistralForCausalLM):
    """Mistral with gates."""

    config_class = QualityGateMistralConfig


# model_type of a source checkpoint -> its gated config and model.
FAMILIES: dict[str, tuple[Any, Any]] = {
    "qwen3": (QualityGateQwen3Config, QualityGateQwen3ForCausalLM),
    "qwen2": (QualityGateQwen2Config, QualityGateQwen2ForCausalLM),
    "llama": (QualityGateLlamaConfig, QualityGateLlamaForCausalLM),
    "mistral": (QualityGateMistralConfig, QualityGateMistralForCausalLM),
}

for _config, _model in FAMILIES.values():
    AutoConfig.register(_config.model_type, _config)
    AutoModelForCausalLM.register(_config, _model)


def gated_family(model_type: str) -> tuple[Any, Any]:
    """The gated config and model class for a source checkpoint's ``model_type``.

    Raises:
        ModelError: the family is not supported, with the list of those that are.
    """
    if model_type not in FAMILIES:
        raise ModelError(
            f"models of the family '{model_type}' cannot be given gates",
            expected=f"one of {', '.join(FAMILIES)} (Qwen2.5 calls itself qwen2)",
        )
    return FAMILIES[model_type]


def draw_gates(model: Any, *, seed: int) -> None:
    """Draws every gate's weights anew, each layer from its own seed, in fp32 before rounding."""
    mean, std = model.config.quality_gate_init_mean, model.config.quality_gate_init_std
    for index, layer in enumerate(model.model.layers):
        weight_D = layer.mlp.quality_gate.weight
        generator = torch.Generator().manual_seed(derive_seed(seed, "quality_gate", index))
        drawn_D = torch.randn(weight_D.shape, generator=generator) * std + mean
        with torch.no_grad():
            weight_D.copy_(drawn_D)


def gate_parameters(model: Any) -> dict[str, nn.Parameter]:
    """Every gate's weights by their names in the checkpoint, in layer order."""
    return {
        f"model.layers.{index}.mlp.quality_gate.weight": layer.mlp.quality_gate.weight
        for index, layer in enumerate(model.model.layers)
    }


def is_gate(name: str) -> bool:
    """Whether a weight of a checkpoint is a gate's, by its name."""
    return name.endswith(".mlp.quality_gate.weight")


def set_gate_weights(model: Any, weights: dict[str, Tensor]) -> None:
    """Puts trained gates into a model.

    Raises:
        ModelError: a gate is missing, unknown or of another size.
    """
    parameters = gate_parameters(model)
    expected = {name: tuple(weight.shape) for name, weight in parameters.items()}
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    if found != expected:
        raise ModelError(
            f"the gate weights are for another model: {len(found)} gates of sizes "
            f"{sorted(set(found.values()))}",
            expected=f"{len(expected)} gates of sizes {sorted(set(expected.values()))}",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])

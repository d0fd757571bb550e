"""Proof that a converted model is the model it was converted from.

Shape letters: B samples, T tokens, V vocabulary, L layers.
"""

from typing import Any

import torch
from torch import Tensor

from sluice.errors import ModelError
from sluice.gate.conversion import load_causal_model, probe_tokens


def compare_checkpoint(
    converted_model: str, *, base_model: str | None, dtype: str, seed: int, device: str = "cpu"
) -> dict[str, Any]:
    """Loads both models, one after the other, and compares them on the same tokens.

    Args:
        converted_model: folder of the gated model.
        base_model: hub id or folder; None takes the one that the conversion recorded.
        dtype: precision of both forward passes.
        seed: of the compared tokens.
        device: where the forward passes run.
    Returns:
        ``is_same`` and what it rests on: the greatest difference of a logit, mean KL divergence in
        nats, share of equal argmax, gate shapes.
    Raises:
        ModelError: a model cannot be loaded, the converted one has no gates, or the two have
            vocabularies of different sizes.
    """
    gated = load_causal_model(converted_model, dtype=dtype).to(device).eval()
    source = base_model or getattr(gated.config, "quality_gate_source", None)
    if source is None or not hasattr(gated.config, "quality_gate_init_std"):
        raise ModelError(
            f"'{converted_model}' is no converted model", expected="a folder of convert_checkpoint"
        )
    tokens_BT = probe_tokens(gated.config.vocab_size, seed=seed).to(device)
    with torch.no_grad():
        output = gated(input_ids=tokens_BT, output_router_logits=True)
    num_layers, num_words = gated.config.num_hidden_layers, gated.config.vocab_size
    del gated
    base = load_causal_model(source, dtype=dtype).to(device).eval()
    if base.config.vocab_size != num_words:
        raise ModelError(
            f"'{converted_model}' and '{source}' have vocabularies of {num_words:,} words and "
            f"{base.config.vocab_size:,}",
            expected="the model that was converted",
        )
    with torch.no_grad():
        base_logits_BTV = base(input_ids=tokens_BT).logits
    if not (output.logits.isfinite().all() and base_logits_BTV.isfinite().all()):
        raise ModelError(
            f"the logits of '{converted_model}' or '{source}' are not finite in {dtype}",
            hint="a damaged checkpoint, or a model whose numbers do not fit this precision",
        )
    shapes = [list(gate.shape) for gate in output.router_logits]
    agreement = agreement_of(output.logits, base_logits_BTV)
    has_all_gates = shapes == [list(tokens_BT.shape)] * num_layers
    return {
        "converted_model": converted_model,
        "base_model": source,
        "dtype": dtype,
        "is_same": has_all_gates and agreement["max_logit_difference"] == 0.0,
        "gate_shapes": shapes,
        "num_tokens": tokens_BT.numel(),
        **agreement,
    }


def agreement_of(first_BTV: Tensor, second_BTV: Tensor) -> dict[str, float]:
    """Greatest logit difference, mean KL(second || first) in nats, and share of equal argmax."""
    first = torch.log_softmax(first_BTV.double(), -1)
    second = torch.log_softmax(second_BTV.double(), -1)
    kl_BT = (second.exp() * (second - first)).sum(-1)
    same = (first_BTV.argmax(-1) == second_BTV.argmax(-1)).double()
    return {
        "max_logit_difference": (first_BTV.double() - second_BTV.double()).abs().max().item(),
        "kl_nats": kl_BT.mean().item(),
        "top1_agreement": same.mean().item(),
    }

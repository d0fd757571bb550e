"""What moves which weights, and how fast at which step."""

import math
from typing import Any

import torch
from torch import nn
from transformers import Qwen3ForCausalLM

from sluice.base.muon import Muon
from sluice.settings.base_model import TrainBaseModel

_BETAS = (0.9, 0.95)
_EMBEDDING, _OUTPUT = "embed_tokens", "lm_head"


def make_optimizers(
    model: Qwen3ForCausalLM, settings: TrainBaseModel
) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices; AdamW for embedding, output layer and the norms' scales."""
    matrices: list[nn.Parameter] = []
    outputs: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        if _OUTPUT in name:
            outputs.append(weight)
        elif weight.dim() == 2 and _EMBEDDING not in name:
            matrices.append(weight)
        else:
            others.append(weight)
    output_rate = settings.output_learning_rate or settings.learning_rate
    groups: list[dict[str, Any]] = [{"params": others}, {"params": outputs, "lr": output_rate}]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(
            matrices,
            lr=settings.matrix_learning_rate,
            weight_decay=settings.weight_decay,
            dtype=_iteration_dtype(settings),
        ),
        torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=settings.learning_rate,
            betas=_BETAS,
            weight_decay=0.0,
        ),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def _iteration_dtype(settings: TrainBaseModel) -> torch.dtype:
    """float32 on a CPU even where the forward pass is bfloat16: few CPUs multiply it fast."""
    is_fast = settings.precision == "bfloat16" and torch.cuda.is_available()
    return torch.bfloat16 if is_fast else torch.float32


def schedule(step: int, settings: TrainBaseModel) -> float:
    """Share of the peak learning rate at a step: a linear rise, then cosine or wsd.

    Source of wsd: Hu and others, "MiniCPM" (2024), arXiv 2404.06395; its decay here is linear.
    """
    if step < settings.rise_steps:
        return (step + 1) / settings.rise_steps
    final = settings.final_share
    return final + (1 - final) * _fall(step, settings)


def _fall(step: int, settings: TrainBaseModel) -> float:
    """From 1 down to 0."""
    if settings.schedule == "cosine":
        done = (step - settings.rise_steps) / max(1, settings.num_steps - settings.rise_steps)
        return 0.5 * (1 + math.cos(math.pi * done))
    decay_steps = max(1, round(settings.decay_share * settings.num_steps))
    return min(1.0, (settings.num_steps - step) / decay_steps)

"""A Qwen3 with fresh weights, and the loss that it is trained on."""

# Shape letters: B samples or rows, T tokens, D hidden width, N target tokens, V vocabulary.

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from sluice.errors import ConfigError
from sluice.seeds import derive_seed
from sluice.settings.base_model import TrainBaseModel

IGNORED = -100
"""Marks a place of `target_ids` whose prediction is not asked for."""


def check_shape(settings: TrainBaseModel) -> None:
    """Refuses a shape that no Qwen3 can have.

    Raises:
        ConfigError: heads, their width, or the sequence length do not fit together.
    """
    if settings.num_heads % settings.num_kv_heads:
        raise ConfigError(
            f"'num_heads' is {settings.num_heads} with {settings.num_kv_heads} key-value heads",
            expected="a multiple of 'num_kv_heads'",
        )
    if settings.head_dim is None and settings.hidden_size % (2 * settings.num_heads):
        raise ConfigError(
            f"'hidden_size' is {settings.hidden_size} with {settings.num_heads} heads",
            expected="an even number for each head, or a 'head_dim'",
        )
    if settings.head_dim is not None and settings.head_dim % 2:
        raise ConfigError(
            f"'head_dim' is {settings.head_dim}",
            expected="an even number: rotary positions turn pairs",
        )
    if settings.sequence_length > settings.max_positions:
        raise ConfigError(
            f"'sequence_length' is {settings.sequence_length:,} with {settings.max_positions:,} "
            "positions",
            expected="'max_positions' at least as large",
        )


def make_model(
    tokenizer: Any, settings: TrainBaseModel, *, begin_token_id: int | None = None
) -> Qwen3ForCausalLM:
    """A Qwen3 with fresh weights, drawn from the seed.

    Args:
        tokenizer: says how many tokens there are, and which of them end a turn and pad.
        settings: the shape.
        begin_token_id: what every document begins with, if it is text that the model learns; a
            model that writes it has ended one document.
    Raises:
        ConfigError: no Qwen3 can have this shape.
    """
    check_shape(settings)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads,
        num_key_value_heads=settings.num_kv_heads,
        head_dim=settings.head_dim or settings.hidden_size // settings.num_heads,
        max_position_embeddings=settings.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": settings.rope_theta},
        tie_word_embeddings=settings.tie_word_embeddings,
        use_cache=True,
        bos_token_id=begin_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    torch.manual_seed(derive_seed(settings.seed, "make_model"))
    model = Qwen3ForCausalLM(config)
    ends = dict.fromkeys((tokenizer.eos_token_id, begin_token_id))
    known = [end for end in ends if end is not None]
    model.generation_config.eos_token_id = known[0] if len(known) == 1 else known or None
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def target_nats(model: Qwen3ForCausalLM, input_ids_BT: Tensor, *, target_ids_BT: Tensor) -> Tensor:
    """Cross-entropy of every target token, in nats: float32 of shape (N,), row by row.

    Args:
        model: any precision.
        input_ids_BT: int64; padding stands on the right, where causal attention cannot see it, so
            no attention mask is needed.
        target_ids_BT: int64; entry t is the token after t, or -100 where that is none of ours.
    """
    logits_NV, targets_N = _target_logits(model, input_ids_BT, target_ids_BT)
    return nn.functional.cross_entropy(logits_NV, targets_N, reduction="none")


class ShareOfLoss(nn.Module):
    """One pass's share of a step's loss: its nats over the target tokens of the whole step.

    The shares of all passes and processes add up to the mean over the step, however its rows are
    divided. A module, since DDP averages the gradients of what goes through ``forward`` alone.
    """

    def __init__(self, model: Qwen3ForCausalLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids_BT: Tensor, target_ids_BT: Tensor, num_targets: int) -> Tensor:
        """Nats of this pass's targets over ``num_targets``, those of the whole step."""
        logits_NV, targets_N = _target_logits(self.model, input_ids_BT, target_ids_BT)
        return nn.functional.cross_entropy(logits_NV, targets_N, reduction="sum") / num_targets


def _target_logits(
    model: Qwen3ForCausalLM, input_ids_BT: Tensor, target_ids_BT: Tensor
) -> tuple[Tensor, Tensor]:
    """logits_NV and target ids of shape (N,): nothing is computed for what is no target."""
    hidden_BTD = model.model(input_ids=input_ids_BT, use_cache=False).last_hidden_state
    is_target_BT = target_ids_BT != IGNORED
    logits_NV = model.lm_head(hidden_BTD[is_target_BT])
    return logits_NV, target_ids_BT[is_target_BT]

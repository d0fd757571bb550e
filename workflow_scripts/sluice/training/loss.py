"""The weighted loss, over response tokens only, inside the model's own forward pass.

Inside, because the wrappers of data-parallel training hook into `forward`, and because logits of
tokens that nobody is trained on need not be made: at a vocabulary of 150,000 they are most of the
memory.
"""

# Shape letters: B rows, T tokens, D hidden width, N target tokens, V vocabulary.

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sluice.errors import ModelError

_MOST_LOGITS = 1 << 26  # 256 MiB in float32
_PROBE_TOKENS = 8


def token_nll(head: Any, hidden_ND: Tensor, *, target_ids_N: Tensor) -> Tensor:
    """Cross-entropy of each target in float32, nats.

    Where the logits of all targets would be large, they are made in chunks and again in the
    backward pass, so that never more than a chunk of them is held.
    """
    size = max(1, _MOST_LOGITS // head.weight.shape[0])
    if len(target_ids_N) <= size:
        return _chunk_nll(head, hidden_ND, target_ids_N)
    chunks = zip(hidden_ND.split(size), target_ids_N.split(size), strict=True)
    return torch.cat(
        [checkpoint(_chunk_nll, head, hidden, ids, use_reentrant=False) for hidden, ids in chunks]
    )


def _chunk_nll(head: Any, hidden_ND: Tensor, target_ids_N: Tensor) -> Tensor:
    logits_NV = head(hidden_ND).float()
    return nn.functional.cross_entropy(logits_NV, target_ids_N, reduction="none")


def attach_loss(model: Any, *, is_checked: bool = True) -> None:
    """Makes a causal language model's forward return the loss of one pass from `collate`.

    Args:
        model: the innermost model, without peft's wrapper.
        is_checked: whether the model's own logits are compared first; not possible where its
            weights are shared out already.
    Raises:
        ModelError: the model does more between its last hidden state and its logits than one
            linear layer, which the loss would miss.
    """
    if is_checked:
        _check_head(model)
    model.forward = MethodType(_forward, model)


def _forward(
    self: Any,
    input_ids: Tensor,
    *,
    target_places: Tensor,
    target_ids: Tensor,
    coefficients: Tensor,
    position_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    **_: Any,
) -> dict[str, Tensor]:
    if attention_mask is not None:
        attention_mask = _as_attention_wants(self, attention_mask)
    # A cache would also make a packed row leak between samples.
    hidden_BTD = self.base_model(
        input_ids=input_ids,
        attention_mask=attention_mask,
        position_ids=position_ids,
        use_cache=False,
    ).last_hidden_state
    hidden_ND = hidden_BTD.flatten(0, 1)[target_places]
    nll_N = token_nll(self.get_output_embeddings(), hidden_ND, target_ids_N=target_ids)
    return {"loss": (nll_N * coefficients).sum()}


def _as_attention_wants(model: Any, is_visible_BHTT: Tensor) -> Tensor | None:
    """The mask as the attention in use reads it; flash attention goes by the position ids alone."""
    kind = model.config._attn_implementation
    if kind == "sdpa":
        return is_visible_BHTT
    if kind == "eager":
        zero = torch.zeros((), dtype=model.dtype, device=is_visible_BHTT.device)
        return torch.where(is_visible_BHTT, zero, torch.finfo(model.dtype).min)
    return None


@torch.no_grad()
def _check_head(model: Any) -> None:
    device = next(model.parameters()).device
    ids = torch.arange(_PROBE_TOKENS, device=device)[None] % model.config.vocab_size
    was_training = model.training
    model.eval()
    expected = model(input_ids=ids, use_cache=False).logits
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    ours = model.get_output_embeddings()(hidden)
    model.train(was_training)
    if not torch.allclose(expected.float(), ours.float(), rtol=1e-2, atol=1e-2):
        raise ModelError(
            f"{type(model).__name__} changes its logits after the output layer, which the weighted "
            "loss does not follow",
            expected="a causal language model whose logits are a linear layer of its last state",
        )

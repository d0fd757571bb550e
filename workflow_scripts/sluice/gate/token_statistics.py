"""What the model thought of each token: NLL, and mean and variance of -log p under its prediction.

Shape letters: B samples, T tokens, D hidden size, E predicted tokens, V vocabulary, L layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sluice.gate.batching import pad_tokens
from sluice.gate.modeling import recorded_gates

# Logits of this many values at once, float32: 2 MiB stay in a CPU's cache, which halves the time of
# the whole pass; 64 MiB keep a GPU busy.
_MAX_LOGIT_VALUES = {"cpu": 1 << 19, "cuda": 1 << 24}


@dataclass(frozen=True)
class TokenStatistics:
    """Records of the predicted tokens of a batch, sample after sample, without padding.

    A sample of T tokens has T - 1 entries: entry j describes token j + 1.
    """

    nll: Tensor
    """float32 (E), nats."""
    entropy: Tensor
    """float32 (E), nats."""
    varentropy: Tensor
    """float32 (E), nats^2."""
    gate_logits: Tensor
    """float32 (E, L): the gates once the token had been read."""


@torch.no_grad()
def token_statistics(model: Any, token_ids: Sequence[Sequence[int]]) -> TokenStatistics:
    """One forward pass over a batch of token lists; no padding is scored.

    The vocabulary's logits exist only for a slice of the positions at a time.
    """
    device = next(model.parameters()).device
    input_BT, is_real_BT = pad_tokens(token_ids)
    with recorded_gates(model) as gates_LBT:
        hidden_BTD = model.model(input_ids=input_BT.to(device), use_cache=False).last_hidden_state
    is_predicted_BT = is_real_BT[:, 1:].to(device, torch.bool)
    hidden_ED = hidden_BTD[:, :-1][is_predicted_BT]
    target_E = input_BT[:, 1:].to(device)[is_predicted_BT]
    gates_EL = torch.stack([gate_BT[:, 1:][is_predicted_BT] for gate_BT in gates_LBT], dim=-1)
    nll, entropy, varentropy = _vocabulary_statistics(model.lm_head, hidden_ED, target_E)
    return TokenStatistics(nll.cpu(), entropy.cpu(), varentropy.cpu(), gates_EL.float().cpu())


def _vocabulary_statistics(
    lm_head: Any, hidden_ED: Tensor, target_E: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    at_once = _MAX_LOGIT_VALUES.get(hidden_ED.device.type, 1 << 24)
    slice_size = max(1, at_once // lm_head.weight.shape[0])
    pieces = [
        _slice_statistics(lm_head(hidden_SD).float(), target_S)
        for hidden_SD, target_S in zip(
            hidden_ED.split(slice_size), target_E.split(slice_size), strict=True
        )
    ]
    if not pieces:
        empty = torch.zeros(0)
        return empty, empty, empty
    nll, entropy, varentropy = (torch.cat(column) for column in zip(*pieces, strict=True))
    return nll, entropy, varentropy


def _slice_statistics(logits_SV: Tensor, target_S: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    surprise_SV = -torch.log_softmax(logits_SV, dim=-1)
    nll_S = surprise_SV.gather(1, target_S[:, None])[:, 0]
    probability_SV = torch.exp(-surprise_SV)
    # A word of probability 0 has infinite surprise and no weight.
    weighted_SV = (probability_SV * surprise_SV).nan_to_num_(nan=0.0)
    entropy_S = weighted_SV.sum(-1)
    centred_SV = surprise_SV.clamp_(max=1e4).sub_(entropy_S[:, None])
    varentropy_S = probability_SV.mul_(centred_SV.square_()).sum(-1)
    return nll_S, entropy_S, varentropy_S

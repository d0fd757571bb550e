"""Drawing tokens by inverse CDF, from uniform numbers that belong to one request alone.

Shape letters: B rows, S steps, V vocabulary.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.engines.engine import Sampling


def request_uniforms(seed: int, *, num_steps: int) -> NDArray[np.float64]:
    """One number in [0, 1) for each step of a request, shape (S,).

    They depend on the seed alone; a longer request begins with the numbers of a shorter one.
    """
    return np.random.Generator(np.random.Philox(key=seed)).random(num_steps)


def draw_tokens(logits_BV: Tensor, uniforms_B: Tensor | None, *, sampling: Sampling) -> Tensor:
    """The next token of each row.

    The cumulative distribution runs in the order of token ids, so a row's token depends on its own
    logits and its own uniform number only, not on the other rows.

    Args:
        logits_BV: of the next token.
        uniforms_B: float64 in [0, 1); None where ``sampling`` is greedy.
        sampling: temperature and top_p.
    Returns:
        int64 of shape (B,).
    """
    if sampling.temperature == 0:
        return logits_BV.argmax(-1)
    assert uniforms_B is not None
    p_BV = (logits_BV.float() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        p_BV = p_BV * nucleus_mask(p_BV, top_p=sampling.top_p)
    cdf_BV = p_BV.cumsum(-1, dtype=torch.float64)
    total_B1 = cdf_BV[:, -1:]
    # Rounding makes the total not quite 1, so the draw is scaled to what is there; u * total can
    # round up to the total, and then the last token with any mass is meant.
    wanted_B1 = torch.minimum(uniforms_B[:, None] * total_B1, total_B1.nextafter(total_B1 * 0))
    return torch.searchsorted(cdf_BV, wanted_B1, right=True)[:, 0]


def nucleus_mask(p_BV: Tensor, *, top_p: float) -> Tensor:
    """The smallest set of likeliest tokens whose mass reaches ``top_p``; ties go to lower ids.

    Args:
        p_BV: probabilities.
        top_p: in (0, 1].
    Returns:
        bool of shape (B, V), at least one token a row.
    Source: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.
    """
    sorted_BV = p_BV.sort(-1, descending=True).values
    before_BV = sorted_BV.cumsum(-1, dtype=torch.float64) - sorted_BV
    num_kept_B1 = (before_BV < top_p).sum(-1, keepdim=True).clamp(min=1)
    least_B1 = sorted_BV.gather(-1, num_kept_B1 - 1)
    above_BV = p_BV > least_B1
    ties_BV = p_BV == least_B1
    num_ties_B1 = num_kept_B1 - above_BV.sum(-1, keepdim=True)
    return above_BV | (ties_BV & (ties_BV.cumsum(-1) <= num_ties_B1))

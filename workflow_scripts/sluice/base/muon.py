"""Muon: momentum steps whose matrices are made orthogonal before they are taken.

Source: K. Jordan and others, "Muon: An optimizer for hidden layers in neural networks" (2024),
kellerjordan.github.io/posts/muon. We compute in float32: torch's own Muon multiplies in bfloat16,
which a CPU without bfloat16 instructions emulates (2.6 times the time of a whole training step).
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_NUM_ITERATIONS = 5
# Coefficients of the quintic iteration, from the source: singular values go to about 1 quickly.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_LEAST_NORM = 1e-7


def orthogonalise(matrix: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly: singular values end between 0.7 and 1.2.

    Args:
        matrix: float32 of shape (rows, columns).
    """
    is_tall = matrix.size(0) > matrix.size(1)
    x: Tensor = matrix.T if is_tall else matrix
    x = x / x.norm().clamp(min=_LEAST_NORM)
    for _ in range(_NUM_ITERATIONS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.T if is_tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, for the weight matrices of hidden layers.

    Args:
        parameters: matrices only; embeddings and vectors belong to AdamW.
        lr: step length, in units of the orthogonal matrix.
        momentum: decay of the running gradient.
        weight_decay: decoupled, times ``lr``.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Takes one step; parameters without a gradient stay."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, float]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        running = state["momentum"]
        running.lerp_(gradient, 1 - group["momentum"])
        direction = orthogonalise(gradient.lerp(running, group["momentum"]))
        # A tall matrix gets longer steps, so that every output moves alike.
        scale = max(1.0, weight.size(0) / weight.size(1)) ** 0.5
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(direction, alpha=-group["lr"] * scale)

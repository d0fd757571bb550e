"""Muon: momentum steps whose matrices are made orthogonal before they are taken.

Source: K. Jordan and others, "Muon: An optimizer for hidden layers in neural networks" (2024),
kellerjordan.github.io/posts/muon. We compute in float32 unless told otherwise: torch's own Muon
multiplies in bfloat16, which a CPU without bfloat16 instructions emulates (2.6 times the time of a
whole training step).

Shape letters: N matrices, R rows, C columns.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_NUM_ITERATIONS = 5
# Coefficients of the quintic iteration, from the source: singular values go to about 1 quickly.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_LEAST_NORM = 1e-7


def orthogonalise(matrices_NRC: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: singular values end between 0.7 and 1.2.

    Args:
        matrices_NRC: float32 or bfloat16, N matrices of R rows and C columns, R <= C: the
            iteration multiplies R x R matrices, so a tall matrix is given transposed.
    """
    norms_N11 = matrices_NRC.norm(dim=(1, 2), keepdim=True).clamp(min=_LEAST_NORM)
    x_NRC: Tensor = matrices_NRC / norms_N11
    for _ in range(_NUM_ITERATIONS):
        gram_NRR = x_NRC @ x_NRC.mT
        factor_NRR = torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=_B, alpha=_C)
        x_NRC = torch.baddbmm(x_NRC, factor_NRR, x_NRC, beta=_A)
    return x_NRC


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, for the weight matrices of hidden layers.

    Args:
        parameters: matrices only; embeddings and vectors belong to AdamW.
        lr: step length, in units of the orthogonal matrix.
        momentum: decay of the running gradient.
        weight_decay: decoupled, times ``lr``.
        dtype: what the iterations are computed in; bfloat16 is as good and faster on GPUs.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Takes one step; parameters without a gradient stay."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            for same_shape in _by_shape(weights):
                directions = [self._direction(weight, group["momentum"]) for weight in same_shape]
                wide = torch.stack([_wide(each) for each in directions])
                steps = orthogonalise(wide.to(self._dtype)).to(wide.dtype)
                for weight, step in zip(same_shape, steps, strict=True):
                    _move(weight, step, group)

    def _direction(self, weight: Tensor, momentum: float) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        running: Tensor = state["momentum"]
        assert weight.grad is not None
        running.lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(running, momentum)


def _by_shape(weights: list[Tensor]) -> list[list[Tensor]]:
    """Weights that are of one shape once they lie down; each list is one batch of matrices."""
    batches: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
    for weight in weights:
        batches[tuple(sorted(weight.shape))].append(weight)
    return list(batches.values())


def _wide(matrix: Tensor) -> Tensor:
    """The matrix, or its transpose where it has more rows than columns."""
    return matrix.T if matrix.size(0) > matrix.size(1) else matrix


def _move(weight: Tensor, step: Tensor, group: dict[str, float]) -> None:
    # A tall matrix gets longer steps, so that every output moves alike.
    scale = max(1.0, weight.size(0) / weight.size(1)) ** 0.5
    weight.mul_(1 - group["lr"] * group["weight_decay"])
    direction = step if step.shape == weight.shape else step.T
    weight.add_(direction, alpha=-group["lr"] * scale)

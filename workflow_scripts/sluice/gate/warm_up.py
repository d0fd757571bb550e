"""Gates learn to tell real answers from flawed ones; the model around them does not change.

The backbone runs without gradients. Only its hidden states before each FFN are used, on which the
gates are linear, so a step costs little more than a forward pass.

Shape letters: B samples, T tokens, D hidden size, L layers, R rank of the low-rank update.
"""

import math
import time
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sluice.chat import EncodedSample, encode_samples
from sluice.errors import DataError
from sluice.gate.batching import pad_tokens, split_by_tokens
from sluice.gate.flaws import flawed_copy
from sluice.gate.modeling import gate_parameters, hidden_before_ffn
from sluice.logs import get_logger, progress
from sluice.memory import FittingBatches
from sluice.records import Sample
from sluice.seeds import derive_seed
from sluice.settings.gate import WarmUpGate
from sluice.tensor_files import read_progress, write_tensors

logger = get_logger(__name__)

_SAVE_EVERY_S = 45.0


def choose_samples(samples: Iterable[Sample], *, fraction: float, seed: int) -> list[Sample]:
    """The samples that gates learn from, sorted by id: each is drawn by its own id.

    Raises:
        DataError: fewer than two samples with an answer are left.
    """
    limit = fraction * 2**63
    chosen = [
        sample
        for sample in samples
        if derive_seed(seed, "warm_up_fraction", sample.id) < limit
        and any(message.role == "assistant" and message.content for message in sample.messages)
    ]
    if len(chosen) < 2:
        raise DataError(
            f"{len(chosen)} samples are left for the warm-up of the gates",
            expected="at least 2",
            hint="raise gate.warm_up_fraction (1.0 takes all)",
        )
    return sorted(chosen, key=lambda sample: sample.id)


def warm_up_gate(
    model: Any,
    tokenizer: Any,
    samples: Sequence[Sample],
    *,
    settings: WarmUpGate,
    state: Path,
) -> tuple[dict[str, Tensor], list[float]]:
    """Trains the gates of a model.

    Args:
        model: a gated model; none of its parameters is changed.
        tokenizer: the model's.
        samples: real samples, each with an assistant's message.
        settings: loss, flaws, steps, token limit, seed.
        state: the run's own folder for progress.
    Returns:
        Gate weights by name (float32), and the loss of every step.
    """
    gates = _Gates(model, settings=settings)
    optimizer = torch.optim.AdamW(gates.trained, lr=settings.warm_up_learning_rate)
    losses = _resume(state, gates.trained, optimizer)
    last_save = time.monotonic()
    steps = range(len(losses), settings.warm_up_steps)
    total = settings.warm_up_steps
    for step in progress(steps, total=total, what="steps", logger=logger, start=len(losses)):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, settings)
        texts, is_real_B = _batch(samples, step=step, settings=settings)
        batch = encode_samples(tokenizer, texts, max_tokens=settings.max_tokens)
        optimizer.zero_grad()
        losses.append(_backward(model, tokenizer, batch, is_real_B, gates=gates, settings=settings))
        optimizer.step()
        if time.monotonic() - last_save > _SAVE_EVERY_S:
            _save(state, gates.trained, optimizer, losses)
            last_save = time.monotonic()
    logger.info("gate loss %.3f at first, %.3f at last", losses[0], losses[-1])
    return gates.by_name(), losses


def token_weights(counted_BT: Tensor, *, settings: WarmUpGate) -> Tensor:
    """How much each token counts in the loss of a batch, float32 (B, T); they sum to 1.

    Averaged over samples, each sample with a counted token has the same share; over tokens, each
    counted token has. Where nothing counts, all weights are 0.
    """
    counted = counted_BT.float()
    if settings.warm_up_average == "token":
        return counted / counted.sum().clamp(min=1)
    counts_B = counted.sum(1, keepdim=True)
    return counted / counts_B.clamp(min=1) / (counts_B > 0).sum().clamp(min=1)


def gate_loss(
    logits_BTL: Tensor, weights_BT: Tensor, is_real_B: Tensor, *, settings: WarmUpGate
) -> Tensor:
    """The loss of a batch, or a part's share of it; all layers count the same.

    sigmoid: binary cross-entropy, real answers against flawed ones. linear: the mean gate, to be
    minimised.

    Args:
        logits_BTL: gate logits.
        weights_BT: token_weights of the whole batch, or the part's rows of them.
        is_real_B: bool; False for flawed copies.
        settings: which loss.
    """
    if settings.quality_loss_type == "sigmoid":
        target_BTL = is_real_B[:, None, None].to(logits_BTL.dtype).expand_as(logits_BTL)
        values = F.binary_cross_entropy_with_logits(logits_BTL, target_BTL, reduction="none")
    else:
        values = torch.sigmoid(logits_BTL)
    return settings.quality_loss_weight * (values.mean(-1) * weights_BT).sum()


def _backward(
    model: Any,
    tokenizer: Any,
    batch: list[EncodedSample],
    is_real_B: Tensor,
    *,
    gates: "_Gates",
    settings: WarmUpGate,
) -> float:
    """Adds the gradient of a batch's loss to the gates, and returns the loss.

    The batch runs in parts of like length, so that neither padding nor the hidden states of all
    layers of long samples fill the memory; the gradient is that of the batch as a whole.
    """
    device = next(model.parameters()).device
    weights_BT = token_weights(_counted(batch, tokenizer, settings=settings), settings=settings)
    lengths = [len(tokens.input_ids) for tokens in batch]

    def add_gradient(rows: Sequence[int]) -> float:
        input_BT, _ = pad_tokens([batch[row].input_ids for row in rows])
        with torch.no_grad(), hidden_before_ffn(model) as hidden_LBTD:
            model.model(input_ids=input_BT.to(device), use_cache=False)
        logits = [
            hidden_BTD.float() @ weight_D
            for hidden_BTD, weight_D in zip(hidden_LBTD, gates.weights_LD(), strict=True)
        ]
        loss = gate_loss(
            torch.stack(logits, dim=-1),
            weights_BT[list(rows), : input_BT.shape[1]].to(device),
            is_real_B[list(rows)].to(device),
            settings=settings,
        )
        # All gradients or none: a part that runs out of memory is run again in halves.
        for weight, gradient in zip(
            gates.trained, torch.autograd.grad(loss, gates.trained), strict=True
        ):
            weight.grad = gradient if weight.grad is None else weight.grad + gradient
        return loss.item()

    fitting = FittingBatches[int](
        "samples",
        tokens=lambda row: lengths[row],
        hint="lower data.max_tokens, or take a GPU with more memory",
    )
    parts = split_by_tokens(lengths, tokens_per_batch=settings.tokens_per_batch)
    return sum(chain.from_iterable(fitting.run(add_gradient, rows) for rows in parts))


def _counted(batch: list[EncodedSample], tokenizer: Any, *, settings: WarmUpGate) -> Tensor:
    """Which tokens count in the loss, bool (B, T)."""
    special = set(tokenizer.all_special_ids) if settings.mask_special_tokens else set()
    width = max(len(tokens.input_ids) for tokens in batch)
    counted_BT = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, tokens in enumerate(batch):
        flags = [
            is_response and token not in special
            for token, is_response in zip(tokens.input_ids, tokens.is_response, strict=True)
        ]
        counted_BT[row, : len(flags)] = torch.tensor(flags, dtype=torch.bool)
    return counted_BT


def _batch(
    samples: Sequence[Sample], *, step: int, settings: WarmUpGate
) -> tuple[list[Sample], Tensor]:
    """Real samples and, for the sigmoid loss, a flawed copy of each; True for the real ones."""
    size = min(settings.warm_up_batch_size, len(samples))
    rng = np.random.default_rng(derive_seed(settings.seed, "warm_up_batch", step))
    real = [samples[index] for index in rng.choice(len(samples), size=size, replace=False)]
    if settings.quality_loss_type == "linear":
        return real, torch.ones(size, dtype=torch.bool)
    flawed = [
        flawed_copy(
            sample,
            donor=real[(place + 1) % size],
            flaws=settings.warm_up_flaws,
            seed=derive_seed(settings.seed, "warm_up_flaw", step, place),
        )
        for place, sample in enumerate(real)
    ]
    return [*real, *flawed], torch.arange(2 * size) < size


def _learning_rate(step: int, settings: WarmUpGate) -> float:
    share = step / settings.warm_up_steps
    return settings.warm_up_learning_rate * 0.5 * (1 + math.cos(math.pi * share))


class _Gates:
    """The weights in training: all of them, or a low-rank update that all layers share."""

    def __init__(self, model: Any, *, settings: WarmUpGate) -> None:
        parameters = gate_parameters(model)
        self._names = list(parameters)
        self._start_LD = torch.stack([weight.detach().float() for weight in parameters.values()])
        num_layers, width = self._start_LD.shape
        if settings.gate_mode == "full_rank":
            self.trained = [self._start_LD.clone().requires_grad_()]
            return
        generator = torch.Generator().manual_seed(derive_seed(settings.seed, "gate_lora"))
        left_LR = torch.randn(num_layers, settings.gate_lora_rank, generator=generator)
        right_RD = torch.zeros(settings.gate_lora_rank, width)
        device = self._start_LD.device
        self.trained = [left_LR.to(device).requires_grad_(), right_RD.to(device).requires_grad_()]

    def weights_LD(self) -> Tensor:
        """The gates' present weights."""
        if len(self.trained) == 1:
            return self.trained[0]
        left_LR, right_RD = self.trained
        return self._start_LD + left_LR @ right_RD

    def by_name(self) -> dict[str, Tensor]:
        """The gates' present weights by name, on the CPU."""
        weights = self.weights_LD().detach().cpu()
        return {name: weights[index].clone() for index, name in enumerate(self._names)}


def _save(state: Path, trained: list[Tensor], optimizer: Any, losses: list[float]) -> None:
    values = {
        "trained": [weight.detach() for weight in trained],
        "optimizer": optimizer.state_dict(),
        "losses": losses,
    }
    write_tensors(state / "progress.pt", values)


def _resume(state: Path, trained: list[Tensor], optimizer: Any) -> list[float]:
    """Puts an earlier run's progress in place; the losses of the steps that are done."""
    file = state / "progress.pt"
    values = read_progress(file) if file.is_file() else None
    if values is None:
        return []
    with torch.no_grad():
        for weight, saved in zip(trained, values["trained"], strict=True):
            weight.copy_(saved)
    optimizer.load_state_dict(values["optimizer"])
    losses: list[float] = values["losses"]
    logger.info("an earlier run had done %d steps", len(losses))
    return losses

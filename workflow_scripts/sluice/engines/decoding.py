"""The rows of one batch while they are written, token by token.

Shape letters: B rows of a batch, T tokens of the padded prompt, S steps, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sluice.engines.drawing import draw_tokens, request_uniforms
from sluice.engines.engine import Sampling

# Rows leave the batch once so many of them have ended: copying the cache costs about a step.
_ENDED_SHARE = 0.15


@dataclass
class Rows:
    """The rows of a batch that are still being written."""

    model: Any
    cache: Any
    logits_BV: Tensor
    """Of the next token."""
    mask_BT: Tensor
    """int64, 0 on padding; grows by one column a step."""
    positions_B: Tensor
    """Position of the next token."""
    uniforms_BS: Tensor | None
    alive: list[int]
    """Which of the batch's rows the tensors' rows are."""
    written: list[list[int]]
    """Tokens of each of the batch's rows so far, ended ones included."""
    limits: list[int]
    sampling: Sampling
    has_ended: list[bool]
    num_steps: int = 0

    @classmethod
    def start(
        cls,
        model: Any,
        prompts: list[tuple[int, ...]],
        *,
        seeds: list[int],
        limits: list[int],
        sampling: Sampling,
    ) -> "Rows":
        """Reads every different prompt once, and lays the result to each of its rows."""
        from transformers import DynamicCache

        device = model.device
        unique = list(dict.fromkeys(prompts))
        ids_BT, mask_BT = _pad_left(unique, device=device)
        cache = DynamicCache(config=model.config.get_text_config())
        logits_BV = model(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=(mask_BT.cumsum(-1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        places = {ids: place for place, ids in enumerate(unique)}
        rows_B = torch.tensor([places[ids] for ids in prompts], device=device)
        if len(unique) < len(prompts):
            cache.batch_select_indices(rows_B)
        return cls(
            model=model,
            cache=cache,
            logits_BV=logits_BV[rows_B],
            mask_BT=mask_BT[rows_B],
            positions_B=mask_BT.sum(-1)[rows_B],
            uniforms_BS=_uniforms(seeds, limits=limits, sampling=sampling, device=device),
            alive=list(range(len(prompts))),
            written=[[] for _ in prompts],
            limits=limits,
            sampling=sampling,
            has_ended=[False] * len(prompts),
        )

    @property
    def num_open(self) -> int:
        """Rows that have not ended."""
        return self.has_ended.count(False)

    def step(self, end_tokens: frozenset[int]) -> bool:
        """Writes one token to every row; False once all rows have ended."""
        uniforms_B = None if self.uniforms_BS is None else self.uniforms_BS[:, self.num_steps]
        tokens_B = draw_tokens(self.logits_BV, uniforms_B, sampling=self.sampling)
        self.num_steps += 1
        for row, token in zip(self.alive, tokens_B.tolist(), strict=True):
            if not self.has_ended[row]:
                self.written[row].append(token)
                is_full = len(self.written[row]) == self.limits[row]
                self.has_ended[row] = is_full or token in end_tokens
        kept = [place for place, row in enumerate(self.alive) if not self.has_ended[row]]
        if not kept:
            return False
        if len(kept) <= (1 - _ENDED_SHARE) * len(self.alive):
            tokens_B = self._keep(kept, tokens_B)
        self._read(tokens_B)
        return True

    def _keep(self, kept: list[int], tokens_B: Tensor) -> Tensor:
        """Lets ended rows go, and with them the columns that only they filled."""
        rows_B = torch.tensor(kept, device=tokens_B.device)
        self.cache.batch_select_indices(rows_B)
        self.mask_BT = self.mask_BT[rows_B]
        self.positions_B = self.positions_B[rows_B]
        if self.uniforms_BS is not None:
            self.uniforms_BS = self.uniforms_BS[rows_B]
        self.alive = [self.alive[place] for place in kept]
        return tokens_B[rows_B]

    def _read(self, tokens_B: Tensor) -> None:
        """Reads the tokens just written, for the logits of the next ones."""
        self.mask_BT = torch.nn.functional.pad(self.mask_BT, (0, 1), value=1)
        self.logits_BV = self.model(
            input_ids=tokens_B[:, None],
            attention_mask=self.mask_BT,
            position_ids=self.positions_B[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]
        self.positions_B = self.positions_B + 1


def _uniforms(
    seeds: list[int], *, limits: list[int], sampling: Sampling, device: Any
) -> Tensor | None:
    if sampling.temperature == 0:
        return None
    drawn = [request_uniforms(seed, num_steps=max(limits)) for seed in seeds]
    return torch.stack([torch.from_numpy(each) for each in drawn]).to(device)


def _pad_left(prompts: list[tuple[int, ...]], *, device: Any) -> tuple[Tensor, Tensor]:
    """Token ids and mask (1 on tokens, 0 on padding), both (B, T)."""
    longest = max(map(len, prompts))
    ids_BT = torch.zeros((len(prompts), longest), dtype=torch.int64)
    mask_BT = torch.zeros_like(ids_BT)
    for row, ids in enumerate(prompts):
        ids_BT[row, longest - len(ids) :] = torch.tensor(ids)
        mask_BT[row, longest - len(ids) :] = 1
    return ids_BT.to(device), mask_BT.to(device)

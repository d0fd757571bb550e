"""The rows of one batch while they are written, token by token.

Shape letters: B rows that are being written, R rows of the batch, U different prompts, T columns of
the padded prompts, S steps, V vocabulary.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sluice.engines.cache_columns import is_by_columns
from sluice.engines.drawing import draw_tokens, request_uniforms
from sluice.engines.engine import Sampling

# Rows leave the batch once so many of them have ended: copying the cache costs about a step.
_ENDED_SHARE = 0.15
# What reading prompts may cost at once: some 10 s on a slow CPU, well under a second on a GPU.
_FLOP_OF_A_READING = {"cpu": 1e12}
_FLOP_OF_A_READING_ELSEWHERE = 1e14
# Each reading copies the cache: fewer columns at once would mostly copy.
_LEAST_COLUMNS_OF_A_READING = 8


@dataclass(frozen=True)
class Batch:
    """What is to be written: a row for each prompt, in this order."""

    prompts: Sequence[tuple[int, ...]]
    """Tokens, none empty; the same prompt may stand several times."""
    seeds: Sequence[int]
    limits: Sequence[int]
    """Tokens that each row may have at most."""
    sampling: Sampling


class Rows:
    """A batch on its way: its prompts are read, then each advance writes a token to every row.

    Different prompts are read once, and the result is laid to each of their rows. Where prompts are
    many or the model is large, only some columns are read at a time: an advance takes seconds.

    Args:
        model: in evaluation mode, on its device.
        batch: of at least one prompt.
    """

    def __init__(self, model: Any, batch: Batch) -> None:
        from transformers import DynamicCache

        self._model = model
        self._sampling = batch.sampling
        self._limits = batch.limits
        self._uniforms_RS = _uniforms(batch, device=model.device)
        different = list(dict.fromkeys(batch.prompts))
        self._ids_UT, self._mask_UT = _pad_left(different, device=model.device)
        places = {ids: place for place, ids in enumerate(different)}
        self.prompt_of_row = [places[ids] for ids in batch.prompts]
        """Which of the different prompts each of the batch's rows has."""
        self._config = model.config.get_text_config()
        self.cache: Any = DynamicCache(config=self._config)
        self.is_by_columns = is_by_columns(self.cache, self._config)
        """Whether the cache can be taken apart by columns."""
        self.num_columns = 0
        """Of prompts and written tokens, in the cache."""
        self.logits_BV: Tensor | None = None
        """Of the next token; None until all prompts are read."""
        self.written: list[list[int]] = [[] for _ in batch.prompts]
        """Tokens of each of the batch's rows so far."""
        self.has_ended = [False] * len(batch.prompts)
        """Of each of the batch's rows."""
        self.lay_out(range(len(batch.prompts)))

    def lay_out(self, rows: Iterable[int]) -> None:
        """Says which of the batch's rows the rows of the cache and the logits are from now on."""
        self.alive = list(rows)
        prompts = [self.prompt_of_row[row] for row in self.alive]
        self._rows_B = torch.tensor(self.alive, device=self.device)
        self._prompts_mask_BT = self._mask_UT[torch.tensor(prompts, device=self.device)]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._ids_UT.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the model's numbers."""
        dtype: torch.dtype = self._model.dtype
        return dtype

    @property
    def prompts_in_cache(self) -> list[int]:
        """Which of the different prompts each row of the cache has."""
        if self.logits_BV is None:
            return list(range(len(self._ids_UT)))
        return [self.prompt_of_row[row] for row in self.alive]

    @property
    def num_prompt_columns(self) -> int:
        """Tokens of the longest prompt."""
        return self._ids_UT.shape[1]

    @property
    def num_steps(self) -> int:
        """Tokens that each open row has so far."""
        return max(0, self.num_columns - self.num_prompt_columns)

    @property
    def num_open(self) -> int:
        """Rows that have not ended."""
        return self.has_ended.count(False)

    def describe(self) -> str:
        """How far the batch is, for the log."""
        if self.logits_BV is None:
            return f"{self.num_columns:,} of {self.num_prompt_columns:,} prompt tokens read"
        return (
            f"{self.num_steps:,} tokens each, {self.num_open:,} of {len(self.written):,} "
            "completions still open"
        )

    def advance(self, end_tokens: frozenset[int]) -> bool:
        """Reads some of the prompts or writes a token to every row; False once all have ended."""
        if self.logits_BV is None:
            self._read_prompts()
            return True
        uniforms_B = (
            None if self._uniforms_RS is None else self._uniforms_RS[self._rows_B, self.num_steps]
        )
        tokens_B = draw_tokens(self.logits_BV, uniforms_B, sampling=self._sampling)
        for row, token in zip(self.alive, tokens_B.tolist(), strict=True):
            if not self.has_ended[row]:
                self.written[row].append(token)
                is_full = len(self.written[row]) == self._limits[row]
                self.has_ended[row] = is_full or token in end_tokens
        kept = [place for place, row in enumerate(self.alive) if not self.has_ended[row]]
        if not kept:
            return False
        if len(kept) <= (1 - _ENDED_SHARE) * len(self.alive):
            kept_B = torch.tensor(kept, device=tokens_B.device)
            self.cache.batch_select_indices(kept_B)
            tokens_B = tokens_B[kept_B]
            self.lay_out(self.alive[place] for place in kept)
        self._read_tokens(tokens_B)
        return True

    def _read_prompts(self) -> None:
        start = self.num_columns
        stop = min(start + self._columns_of_a_reading(), self.num_prompt_columns)
        positions_UT = (self._mask_UT.cumsum(-1) - 1).clamp(min=0)
        logits_UV = self._model(
            input_ids=self._ids_UT[:, start:stop],
            attention_mask=self._mask_UT[:, :stop],
            position_ids=positions_UT[:, start:stop],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        self.num_columns = stop
        if stop == self.num_prompt_columns:
            rows_R = torch.tensor(self.prompt_of_row, device=logits_UV.device)
            if len(self._ids_UT) < len(self.prompt_of_row):
                self.cache.batch_select_indices(rows_R)
            self.logits_BV = logits_UV[rows_R]

    def _columns_of_a_reading(self) -> int:
        if not self.is_by_columns:
            return self.num_prompt_columns
        flop = _FLOP_OF_A_READING.get(self.device.type, _FLOP_OF_A_READING_ELSEWHERE)
        flop_of_weights = 2 * sum(each.numel() for each in self._model.parameters())
        flop_of_attention = (
            4 * self.num_prompt_columns * self._config.hidden_size * self._config.num_hidden_layers
        )
        flop_of_a_column = len(self._ids_UT) * (flop_of_weights + flop_of_attention)
        return max(_LEAST_COLUMNS_OF_A_READING, int(flop / flop_of_a_column))

    def _read_tokens(self, tokens_B: Tensor) -> None:
        """Reads the tokens just written, for the logits of the next ones."""
        num_steps = self.num_steps
        pad = torch.nn.functional.pad
        self.logits_BV = self._model(
            input_ids=tokens_B[:, None],
            attention_mask=pad(self._prompts_mask_BT, (0, num_steps + 1), value=1),
            position_ids=(self._prompts_mask_BT.sum(-1) + num_steps)[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]
        self.num_columns += 1


def _uniforms(batch: Batch, *, device: Any) -> Tensor | None:
    """One number for each row and step, (R, S); None where nothing is drawn."""
    if batch.sampling.temperature == 0:
        return None
    drawn = [request_uniforms(seed, num_steps=max(batch.limits)) for seed in batch.seeds]
    return torch.stack([torch.from_numpy(each) for each in drawn]).to(device)


def _pad_left(prompts: list[tuple[int, ...]], *, device: Any) -> tuple[Tensor, Tensor]:
    """Token ids and mask (int64, 1 on tokens, 0 on padding), both (U, T)."""
    longest = max(map(len, prompts))
    ids_UT = torch.zeros((len(prompts), longest), dtype=torch.int64)
    mask_UT = torch.zeros_like(ids_UT)
    for row, ids in enumerate(prompts):
        ids_UT[row, longest - len(ids) :] = torch.tensor(ids)
        mask_UT[row, longest - len(ids) :] = 1
    return ids_UT.to(device), mask_UT.to(device)

"""Losses of options: their common prefix once, whole rows where there is none.

Padding stands on the right, where no real token of a causal model sees it, so that whole rows need
no mask and prefixes keep the fast causal attention. Only where options continue a cached prefix
that is shorter than its neighbours' a mask hides the gap.

Shape letters: B rows or questions, T tokens, P tokens of the longest prefix, S tokens of the
longest tail, U positions with logits, N scored tokens, V vocabulary.
"""

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from sluice.core_metric.batching import (
    Limits,
    group,
    plan_batches,
    plan_prefix_batches,
    rows_fit,
    shares_prefix,
)
from sluice.core_metric.questions import Question, Row
from sluice.memory import FittingBatches


@dataclass(frozen=True)
class RowScore:
    """What the model says of one row's scored tokens."""

    mean_loss_nats: float
    is_greedy: bool
    """Whether each scored token is the likeliest one."""


@dataclass(frozen=True)
class Batch:
    """Questions that are scored together."""

    questions: list[Question]
    has_prefix: bool
    """Whether the options' common prefixes are computed once."""


@dataclass(frozen=True)
class _Tail:
    """What one option of a question adds to the common prefix."""

    place: int
    """Of the question in its batch."""
    prefix_length: int
    tokens: tuple[int, ...]


class Scorer:
    """A causal language model of transformers that scores questions within a token budget.

    Args:
        model: in evaluation mode, on its device.
        max_batch_tokens: tokens held at once; see `CoreMetricSettings`.
    """

    def __init__(self, model: Any, *, max_batch_tokens: int) -> None:
        self._model = model
        vocabulary_size = int(model.config.get_text_config().vocab_size)
        self._limits = Limits(max_batch_tokens // 2, vocabulary_size)
        self._fitting = FittingBatches[Question](
            "items",
            tokens=lambda question: sum(len(row.tokens) for row in question.distinct_rows),
            hint="lower max_batch_tokens or max_context_tokens, or take a GPU with more memory",
        )
        self._accepts = frozenset(inspect.signature(model.forward).parameters)
        self._layers = _cache_layers(model) if "position_ids" in self._accepts else frozenset()

    @property
    def can_reuse_prefix(self) -> bool:
        """Whether the model's cache is one of keys and values alone, which can be continued."""
        return bool(self._layers) and self._layers <= {"DynamicLayer", "DynamicSlidingWindowLayer"}

    def plan(self, questions: Sequence[Question]) -> list[Batch]:
        """Every question in one batch; the same questions give the same batches."""
        shared = [each for each in questions if self.can_reuse_prefix and shares_prefix(each)]
        indices = {each.index for each in shared}
        # A gap behind a short prefix would count as distance in a sliding window.
        equal_only = "DynamicSlidingWindowLayer" in self._layers
        prefixes = plan_prefix_batches(shared, limits=self._limits, equal_only=equal_only)
        rest = [each for each in questions if each.index not in indices]
        whole = plan_batches(rest, limits=self._limits)
        return [
            *(Batch(batch, has_prefix=True) for batch in prefixes),
            *(Batch(batch, has_prefix=False) for batch in whole),
        ]

    @torch.inference_mode()
    def score(self, batch: Batch) -> list[list[RowScore | None]]:
        """Scores of every question's rows; None for a row without a token to score.

        Raises:
            DeviceError: memory does not hold a single question.
        """
        score = self._score_tails if batch.has_prefix else self._score_rows
        return list(chain.from_iterable(self._fitting.run(score, batch.questions)))

    def _score_rows(self, questions: Sequence[Question]) -> list[list[RowScore | None]]:
        rows = [row for question in questions for row in question.distinct_rows]
        scores: dict[Row, RowScore] = {}
        for chunk in group(rows, lambda each: rows_fit(each, self._limits)):
            scores.update(zip(chunk, self._score_whole(chunk), strict=True))
        return [[scores.get(row) for row in question.rows] for question in questions]

    def _score_whole(self, rows: Sequence[Row]) -> list[RowScore]:
        """Whole rows, padded on the right, in one forward pass without a mask."""
        first = min(len(row.tokens) - row.num_scored for row in rows) - 1
        inputs_BT = self._padded([row.tokens[:-1] for row in rows])
        logits_BTV = self._forward(
            inputs_BT, keep=list(range(first, inputs_BT.shape[1])), use_cache=False
        )
        losses, greedy = _token_losses(
            logits_BTV,
            targets=[row.tokens[-row.num_scored :] for row in rows],
            starts=[len(row.tokens) - row.num_scored - 1 - first for row in rows],
        )
        return [
            _row_score(loss, hit, num_scored=row.num_scored)
            for row, loss, hit in zip(rows, losses, greedy, strict=True)
        ]

    def _score_tails(self, questions: Sequence[Question]) -> list[list[RowScore | None]]:
        cache, prefix_logits_BV = self._read_prefixes(questions)
        tails = {
            (place, row): _Tail(place, question.num_shared, row.tokens[question.num_shared :])
            for place, question in enumerate(questions)
            for row in question.distinct_rows
        }
        first_losses, first_greedy = _token_losses(
            prefix_logits_BV[:, None][[tail.place for tail in tails.values()]],
            targets=[tail.tokens[:1] for tail in tails.values()],
            starts=[0] * len(tails),
        )
        later = self._continue(cache, [tail for tail in tails.values() if len(tail.tokens) > 1])
        scores = {}
        for key, loss, hit in zip(tails, first_losses, first_greedy, strict=True):
            more_loss, more_hit = later.get(tails[key], (loss[:0], hit[:0]))
            scores[key] = _row_score(
                torch.cat([loss, more_loss]),
                torch.cat([hit, more_hit]),
                num_scored=key[1].num_scored,
            )
        return [
            [scores.get((place, row)) for row in question.rows]
            for place, question in enumerate(questions)
        ]

    def _read_prefixes(self, questions: Sequence[Question]) -> tuple[Any, Tensor]:
        """The cache of all prefixes, and the logits (B, V) after each one's last token."""
        from transformers import DynamicCache

        lengths = [question.num_shared for question in questions]
        cache = DynamicCache()
        prefixes = [each.distinct_rows[0].tokens[: each.num_shared] for each in questions]
        ends = sorted({length - 1 for length in lengths})
        logits_BUV = self._forward(
            self._padded(prefixes), keep=ends, use_cache=True, past_key_values=cache
        )
        places = torch.tensor([ends.index(length - 1) for length in lengths])
        return cache, logits_BUV[torch.arange(len(lengths)), places.to(logits_BUV.device)]

    def _continue(self, cache: Any, tails: Sequence[_Tail]) -> dict[_Tail, tuple[Tensor, Tensor]]:
        """Losses and hits of every tail's tokens but the first, whose logits the prefix gave."""
        width = cache.get_seq_length()

        def fits(chunk: list[_Tail]) -> bool:
            longest = max(len(tail.tokens) for tail in chunk)
            return self._limits.fit(rows=len(chunk), width=width + longest, kept=longest)

        found: dict[_Tail, tuple[Tensor, Tensor]] = {}
        for chunk in group(sorted(tails, key=lambda tail: -len(tail.tokens)), fits):
            losses, greedy = self._continue_chunk(cache, chunk)
            found.update(zip(chunk, zip(losses, greedy, strict=True), strict=True))
        return found

    def _continue_chunk(
        self, cache: Any, tails: Sequence[_Tail]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        inputs_BS = self._padded([tail.tokens[:-1] for tail in tails])
        device = inputs_BS.device
        lengths_B1 = torch.tensor([[tail.prefix_length] for tail in tails], device=device)
        steps_S = torch.arange(inputs_BS.shape[1], device=device)
        columns_P = torch.arange(cache.get_seq_length(), device=device)
        in_prefix_BP = columns_P < lengths_B1
        mask_BT = torch.cat([in_prefix_BP, torch.ones_like(inputs_BS, dtype=torch.bool)], dim=1)
        logits_BSV = self._forward(
            inputs_BS,
            keep=list(range(inputs_BS.shape[1])),
            use_cache=True,
            past_key_values=_select(cache, [tail.place for tail in tails], device=device),
            attention_mask=mask_BT.to(torch.int64),
            position_ids=lengths_B1 + steps_S,
        )
        return _token_losses(
            logits_BSV, targets=[tail.tokens[1:] for tail in tails], starts=[0] * len(tails)
        )

    def _padded(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Token ids (B, T) on the model's device; any token pads, since none sees it."""
        ids_BT = torch.zeros((len(sequences), max(map(len, sequences))), dtype=torch.int64)
        for row, tokens in enumerate(sequences):
            ids_BT[row, : len(tokens)] = torch.tensor(tokens)
        return ids_BT.to(self._model.device)

    def _forward(self, input_ids: Tensor, *, keep: list[int], **more: Any) -> Tensor:
        """Logits (B, U, V) at the positions ``keep``; of all others none are made."""
        places = torch.tensor(keep, device=input_ids.device)
        if "logits_to_keep" in self._accepts:
            logits: Tensor = self._model(input_ids=input_ids, logits_to_keep=places, **more).logits
            return logits
        return self._model(input_ids=input_ids, **more).logits[:, places]  # type: ignore[no-any-return]


def _cache_layers(model: Any) -> frozenset[str]:
    """The kinds of layers that the model's cache has."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    return frozenset(type(layer).__name__ for layer in cache.layers) or frozenset({"DynamicLayer"})


def _select(cache: Any, places: list[int], *, device: torch.device) -> Any:
    """A cache whose rows are copies of rows of another."""
    from transformers import DynamicCache

    rows_B = torch.tensor(places, device=device)
    return DynamicCache([(layer.keys[rows_B], layer.values[rows_B]) for layer in cache.layers])


def _token_losses(
    logits_BTV: Tensor, *, targets: Sequence[Sequence[int]], starts: Iterable[int]
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Loss in nats of each row's target tokens, and whether each is the likeliest token.

    Args:
        logits_BTV: of any precision; losses are float32.
        targets: token ids of each row.
        starts: the position whose logits predict a row's first target.
    """
    rows = [row for row, tokens in enumerate(targets) for _ in tokens]
    places = [
        place
        for start, tokens in zip(starts, targets, strict=True)
        for place in range(start, start + len(tokens))
    ]
    logits_NV = logits_BTV[rows, places].float()
    targets_N = torch.tensor([token for tokens in targets for token in tokens])
    targets_N = targets_N.to(logits_NV.device)
    losses_N = logits_NV.logsumexp(-1) - logits_NV.gather(-1, targets_N[:, None])[:, 0]
    is_likeliest_N = logits_NV.argmax(-1) == targets_N
    sizes = [len(tokens) for tokens in targets]
    return losses_N.cpu().split(sizes), is_likeliest_N.cpu().split(sizes)


def _row_score(losses_N: Tensor, is_likeliest_N: Tensor, *, num_scored: int) -> RowScore:
    scored = slice(len(losses_N) - num_scored, None)
    return RowScore(
        mean_loss_nats=float(losses_N[scored].double().mean()),
        is_greedy=bool(is_likeliest_N[scored].all()),
    )

"""Prompts as tokens: which tokens of each option are scored, and what the options share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sluice.core_metric.bundle import Item, Task, TaskType
from sluice.core_metric.prompts import Prompts, choose_shots, lay_out_prompts


@dataclass(frozen=True)
class Row:
    """The tokens of one option; the last ``num_scored`` of them are scored."""

    tokens: tuple[int, ...]
    num_scored: int


@dataclass(frozen=True)
class Question:
    """One item, ready to be scored."""

    index: int
    """Of the item in the shuffled data."""
    gold: int
    rows: tuple[Row, ...]
    """One an option; of a language-modelling item a single one."""
    has_split_token: bool = False
    """Language modelling: context and continuation meet inside a token, where nanochat stops with
    an assertion. Everything behind the last common token is scored."""

    @cached_property
    def distinct_rows(self) -> list[Row]:
        """The rows that have something to score, each once: equal options get equal losses."""
        return list(dict.fromkeys(row for row in self.rows if row.num_scored))

    @cached_property
    def num_shared(self) -> int:
        """Tokens at the start that all distinct rows share and none of them scores."""
        rows = self.distinct_rows
        unscored = min(len(row.tokens) - row.num_scored for row in rows)
        return min(unscored, common_prefix([row.tokens for row in rows]))


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all sequences begin with."""
    for place, tokens in enumerate(zip(*sequences, strict=False)):
        if len(set(tokens)) > 1:
            return place
    return min(map(len, sequences))


def encode_questions(
    task: Task,
    items: Sequence[Item],
    indices: Sequence[int],
    *,
    tokenizer: Any,
    max_tokens: int | None,
) -> list[Question]:
    """The items at some indices as questions, in their order.

    Args:
        task: the items' task.
        items: what the few-shot examples are drawn from.
        indices: which items.
        tokenizer: the model's; its BOS, if it has one, opens every prompt.
        max_tokens: longer prompts lose tokens from the left; None for no limit.
    """
    laid_out = [
        lay_out_prompts(task, items[index], choose_shots(items, index, num_shots=task.num_shots))
        for index in indices
    ]
    texts = [text for prompts in laid_out for text in _texts(prompts)]
    encoded = iter(_encode(tokenizer, texts))
    return [
        _question(
            task.type,
            [next(encoded) for _ in _texts(prompts)],
            index=index,
            gold=items[index].gold,
            max_tokens=max_tokens,
        )
        for index, prompts in zip(indices, laid_out, strict=True)
    ]


def _texts(prompts: Prompts) -> tuple[str, ...]:
    return prompts.full if prompts.bare is None else (prompts.bare, *prompts.full)


def _encode(tokenizer: Any, texts: list[str]) -> list[tuple[int, ...]]:
    start = () if tokenizer.bos_token_id is None else (tokenizer.bos_token_id,)
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return [(*start, *ids) for ids in encoded]


def _question(
    type_: TaskType,
    encoded: list[tuple[int, ...]],
    *,
    index: int,
    gold: int,
    max_tokens: int | None,
) -> Question:
    options = encoded
    has_split_token = False
    if type_ == "language_modeling":
        bare, *options = encoded
        shared = common_prefix(encoded)
        has_split_token = shared < len(bare)
        scored = [len(options[0]) - shared]
    elif type_ == "multiple_choice":
        shared = common_prefix(options)
        scored = [len(tokens) - shared for tokens in options]
    else:
        shared = common_prefix([tokens[::-1] for tokens in options])
        scored = [shared] * len(options)
    rows = [
        _cropped(tokens, num_scored=num_scored, max_tokens=max_tokens)
        for tokens, num_scored in zip(options, scored, strict=True)
    ]
    return Question(index, gold, tuple(rows), has_split_token)


def _cropped(tokens: tuple[int, ...], *, num_scored: int, max_tokens: int | None) -> Row:
    kept = tokens[-max_tokens:] if max_tokens else tokens
    # Nothing predicts the first token.
    return Row(kept, max(0, min(num_scored, len(kept) - 1)))

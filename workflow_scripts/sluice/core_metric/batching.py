"""Batches of questions of like length, bounded in tokens and in logits.

Memory of a forward pass grows with two numbers: the tokens that it holds (activations and cached
keys and values) and the logits that it makes (scored positions x vocabulary).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sluice.core_metric.questions import Question, Row

T = TypeVar("T")

_MAX_LOGITS = 2**26
"""float32 logits at once: 256 MiB."""
_LEAST_SHARED_TOKENS = 8
"""A shorter common prefix is not worth a forward pass of its own."""


@dataclass(frozen=True)
class Limits:
    """What the model may hold at once."""

    max_tokens: int
    """Half of the budget: a cached prefix and its copies for the options are held together."""
    vocabulary_size: int

    def fit(self, *, rows: int, width: int, kept: int) -> bool:
        """Whether so many rows of a width, with logits at ``kept`` positions each, fit."""
        has_room = rows * width <= self.max_tokens
        return has_room and rows * kept * self.vocabulary_size <= _MAX_LOGITS


def group(things: Sequence[T], fits: Callable[[list[T]], bool]) -> list[list[T]]:
    """Consecutive things in groups as large as fit; one that fits nowhere is a group of its own."""
    groups: list[list[T]] = []
    for thing in things:
        if groups and fits([*groups[-1], thing]):
            groups[-1].append(thing)
        else:
            groups.append([thing])
    return groups


def shares_prefix(question: Question) -> bool:
    """Whether the question's options have so much in common that it is computed once for all."""
    return len(question.distinct_rows) > 1 and question.num_shared >= _LEAST_SHARED_TOKENS


def plan_prefix_batches(
    questions: Sequence[Question], *, limits: Limits, equal_only: bool
) -> list[list[Question]]:
    """Questions whose prefixes go through the model together, longest first.

    Args:
        questions: those that share a prefix.
        limits: what fits.
        equal_only: whether a batch may hold prefixes of one length only.
    """

    def fits(batch: list[Question]) -> bool:
        lengths = [question.num_shared for question in batch]
        num_lengths = len(set(lengths))
        if equal_only and num_lengths > 1:
            return False
        return limits.fit(rows=len(batch), width=max(lengths), kept=num_lengths)

    return group(sorted(questions, key=lambda each: (-each.num_shared, each.index)), fits)


def plan_batches(questions: Sequence[Question], *, limits: Limits) -> list[list[Question]]:
    """Questions whose whole rows go through the model together, longest first."""

    def order(question: Question) -> tuple[int, int]:
        return -max(len(row.tokens) for row in question.rows), question.index

    def fits(batch: list[Question]) -> bool:
        return rows_fit([row for each in batch for row in each.distinct_rows], limits)

    return group(sorted(questions, key=order), fits)


def rows_fit(rows: Sequence[Row], limits: Limits) -> bool:
    """Whether whole rows fit: their tokens, and the logits from the first scored position on."""
    if not rows:
        return True
    width = max(len(row.tokens) for row in rows)
    first_scored = min(len(row.tokens) - row.num_scored for row in rows)
    return limits.fit(rows=len(rows), width=width, kept=width - first_scored)

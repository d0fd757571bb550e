"""An item's few-shot examples and its prompts, laid out exactly as nanochat lays them out."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.core_metric.bundle import Item, Task

# nanochat's, plus the item's index: every item has its own examples, the same in every run.
_SHOTS_SEED = 1234


@dataclass(frozen=True)
class Prompts:
    """The texts of one item."""

    full: tuple[str, ...]
    """With each of the options."""
    bare: str | None
    """Without the continuation; language modelling only."""


def choose_shots(items: Sequence[Item], index: int, *, num_shots: int) -> list[Item]:
    """The few-shot examples of item ``index``, drawn from all other items.

    Args:
        items: what is drawn from, item ``index`` among them.
        index: the item's place.
        num_shots: how many examples.
    """
    if not num_shots:
        return []
    others = [place for place in range(len(items)) if place != index]
    drawn = random.Random(_SHOTS_SEED + index).sample(others, num_shots)
    return [items[place] for place in drawn]


def lay_out_prompts(task: Task, item: Item, shots: Sequence[Item]) -> Prompts:
    """Examples, each with its right answer and a blank line after it; then the item itself."""
    shown = "".join(f"{_answered(task, shot)}\n\n" for shot in shots)
    full = tuple(
        f"{shown}{context}{task.delimiter}{continuation}"
        for context in item.contexts
        for continuation in item.continuations
    )
    bare = None
    if task.type == "language_modeling":
        # A space left at the end would be a token of its own here, and part of the
        # continuation's first token in the full prompt.
        bare = f"{shown}{item.contexts[0]}{task.delimiter}".strip()
    return Prompts(full, bare)


def _answered(task: Task, item: Item) -> str:
    context = item.contexts[item.gold if task.type == "schema" else 0]
    continuation = item.continuations[item.gold if task.type == "multiple_choice" else 0]
    return f"{context}{task.delimiter}{continuation}"

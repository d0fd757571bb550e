"""What a model decides on an item, and whether that is right: nanochat's rules."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.core_metric.bundle import TaskType
from sluice.core_metric.questions import Question
from sluice.core_metric.scoring import RowScore
from sluice.errors import ScoringError


@dataclass(frozen=True)
class Decision:
    """One item's outcome."""

    index: int
    """Of the item in the shuffled data."""
    is_correct: bool
    predicted: int | None
    """The option with the lowest mean loss; None in language modelling."""
    losses_nats: tuple[float | None, ...]
    """Mean loss of each option; None where it has no token of its own."""


def decide(type_: TaskType, question: Question, scores: Sequence[RowScore | None]) -> Decision:
    """The decision on one item.

    Args:
        type_: of the item's task. In language modelling every scored token must be the likeliest;
            else the option with the lowest mean loss must be the right one.
        question: the item.
        scores: one a row; None for a row without a token to score.
    Raises:
        ScoringError: a loss is no number.
    """
    losses = tuple(None if score is None else score.mean_loss_nats for score in scores)
    if not all(math.isfinite(loss) for loss in losses if loss is not None):
        raise ScoringError(
            f"the model's loss on item {question.index:,} is not a finite number",
            hint="check the checkpoint, or set core.precision: float32 (--precision float32)",
        )
    if type_ == "language_modeling":
        (score,) = scores
        return Decision(question.index, score is not None and score.is_greedy, None, losses)
    predicted = _lowest(losses)
    return Decision(question.index, predicted == question.gold, predicted, losses)


def _lowest(losses: Sequence[float | None]) -> int:
    """The first option with the lowest loss.

    An option that all others begin with (in tokens) has none of its own and so no loss. In nanochat
    that loss is NaN, which Python's ``min`` keeps where it comes first and never takes later on.
    """
    if losses[0] is None:
        return 0
    defined = [loss for loss in losses if loss is not None]
    return losses.index(min(defined))

"""Judged scores of a turn, and the difference between two turns on the same held-out dialogues.

A dialogue, not an exchange, is what is drawn again in a bootstrap: exchanges of one dialogue are
alike. Its score is the mean over its scored exchanges.

Shape letters: N dialogues.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.stats import binomtest

from sluice.artifact_forms import GOOD_SHARE, MEAN
from sluice.errors import DataError, shorten_ids
from sluice.flywheel.judged import (
    Evaluation,
    JudgedExchange,
    check_rule,
    is_good,
    join_verdicts,
    mean_score,
    read_evaluation,
    read_simulation,
)
from sluice.intervals import Estimate, Floats, bootstrap_mean
from sluice.seeds import derive_seed
from sluice.settings.flywheel_turn import KeepRule

Finding = Literal["gain", "loss", "no difference shown"]

# Scores of two turns that differ by less are a tie: means of halves and thirds differ in last bits.
_TIE = 1e-9


@dataclass(frozen=True)
class DialogueScore:
    """One held-out dialogue's scores, each a mean over its scored exchanges."""

    id: str
    group: str
    opening: str
    num_scored: int
    values: Mapping[str, float]
    """``mean`` and each dimension on the judge's scale, ``good_share`` from 0 to 1."""


@dataclass(frozen=True)
class TurnScores:
    """What the evaluator made of one turn's held-out dialogues."""

    turn: int
    model: str
    judge: str
    dialogues: dict[str, DialogueScore]
    """By id; only those with a scored exchange."""
    statuses: dict[str, int]
    """Verdicts by status, all exchanges."""
    num_unscored_dialogues: int
    dimensions: tuple[str, ...]
    scale: tuple[float, float]

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of all scores of a dialogue."""
        return (MEAN, GOOD_SHARE, *self.dimensions)

    def limits(self, measure: str) -> tuple[float, float]:
        """The smallest and the largest value of a measure."""
        return (0.0, 1.0) if measure == GOOD_SHARE else self.scale

    def groups(self) -> dict[str, list[str]]:
        """Group -> ids of its dialogues, both sorted."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name in sorted(self.dialogues):
            found[self.dialogues[name].group].append(name)
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Difference:
    """How much a turn is above an earlier one on some dialogues that both have."""

    num_dialogues: int
    value: Estimate
    wins: int
    ties: int
    losses: int
    p_value: float
    """Sign test over the dialogues that differ, two-sided."""

    @property
    def finding(self) -> Finding:
        """What may be said: a difference where its interval excludes 0."""
        if self.value.low > 0:
            return "gain"
        return "loss" if self.value.high < 0 else "no difference shown"


def read_turn(turn: int, simulation: Path, evaluation: Path, *, rule: KeepRule) -> TurnScores:
    """Scores of one turn's held-out dialogues, from the paths of its two files.

    Raises:
        DataError: the files do not fit together, or no exchange is scored.
    """
    talk, verdicts = read_simulation(simulation), read_evaluation(evaluation)
    check_rule(rule, verdicts)
    judged = join_verdicts(talk, verdicts, where=f"{simulation} and {evaluation}")
    by_dialogue: defaultdict[str, list[JudgedExchange]] = defaultdict(list)
    for each in judged:
        if each.is_scored:
            by_dialogue[each.dialogue.id].append(each)
    if not by_dialogue:
        raise DataError(f"no exchange of turn {turn} is scored", where=str(evaluation))
    return TurnScores(
        turn=turn,
        model=talk.model,
        judge=verdicts.judge_model,
        dialogues={name: _score(each, verdicts, rule) for name, each in by_dialogue.items()},
        statuses=dict(sorted(Counter(each.verdict.status for each in judged).items())),
        num_unscored_dialogues=len(talk.dialogues) - len(by_dialogue),
        dimensions=verdicts.dimensions,
        scale=verdicts.scale,
    )


def _score(judged: Sequence[JudgedExchange], verdicts: Evaluation, rule: KeepRule) -> DialogueScore:
    scores = [each.verdict.scores or {} for each in judged]
    values = {name: float(np.mean([row[name] for row in scores])) for name in verdicts.dimensions}
    values[MEAN] = float(np.mean([mean_score(row) for row in scores]))
    values[GOOD_SHARE] = float(np.mean([is_good(row, rule) for row in scores]))
    dialogue = judged[0].dialogue
    return DialogueScore(
        dialogue.id, dialogue.group, dialogue.exchanges[0].user, len(judged), values
    )


def estimate(
    turn: TurnScores, measure: str, *, seed: int, ids: Sequence[str] | None = None
) -> Estimate:
    """The mean of a measure over dialogues, with its 95 % interval.

    Args:
        turn: the scores.
        measure: one of its ``measures``.
        seed: of the bootstrap.
        ids: the dialogues; all where None.
    """
    names = sorted(turn.dialogues) if ids is None else ids
    values_N = np.array([turn.dialogues[name].values[measure] for name in names])
    return bootstrap_mean(
        values_N, limits=turn.limits(measure), seed=derive_seed(seed, "estimate", measure)
    )


def shared_ids(turn: TurnScores, earlier: TurnScores) -> list[str]:
    """Dialogues that are scored in both turns, sorted.

    Raises:
        DataError: there is none, the two judges differ, or the users began differently.
    """
    for what, mine, other in (
        ("judge", turn.judge, earlier.judge),
        ("dimensions", turn.dimensions, earlier.dimensions),
        ("scale", turn.scale, earlier.scale),
    ):
        if mine != other:
            raise DataError(
                f"turns {earlier.turn} and {turn.turn} differ in their {what}: {other} and {mine}",
                expected="one evaluator for all turns",
                hint="judge the older turn again",
            )
    ids = sorted(set(turn.dialogues) & set(earlier.dialogues))
    changed = [
        name for name in ids if turn.dialogues[name].opening != earlier.dialogues[name].opening
    ]
    if changed or not ids:
        raise DataError(
            f"turns {earlier.turn} and {turn.turn} share {len(ids):,} held-out dialogues, of which "
            f"{len(changed):,} begin differently ({shorten_ids(changed)})",
            expected="the same topics, openings and seeds in both",
            hint="simulate the older turn again",
        )
    return ids


def compare(
    turn: TurnScores, earlier: TurnScores, measure: str, *, ids: Sequence[str], seed: int
) -> Difference:
    """The paired difference of a measure, turn minus earlier, over the named dialogues."""
    differences_N = _differences(turn, earlier, measure, ids)
    low, high = turn.limits(measure)
    wins = int((differences_N > _TIE).sum())
    losses = int((differences_N < -_TIE).sum())
    return Difference(
        num_dialogues=len(ids),
        value=bootstrap_mean(
            differences_N,
            limits=(low - high, high - low),
            seed=derive_seed(seed, "difference", measure),
        ),
        wins=wins,
        ties=len(ids) - wins - losses,
        losses=losses,
        p_value=float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0,
    )


def _differences(turn: TurnScores, earlier: TurnScores, measure: str, ids: Sequence[str]) -> Floats:
    return np.array(
        [
            turn.dialogues[name].values[measure] - earlier.dialogues[name].values[measure]
            for name in ids
        ]
    )

"""How far a judge can be trusted: what its verdicts say about itself.

Every number has an interval from a bootstrap over dialogues, since exchanges of one are alike.
Sources: Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", 2023 (order, length
and self-preference); Cohen, Educational and Psychological Measurement 20, 1960 (kappa).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from sluice.auroc import auroc
from sluice.intervals import Estimate

_NUM_DRAWS = 2000
_CONFIDENCE = 0.95
# Below this share of draws in which a statistic exists at all, an interval would mislead.
_MIN_DEFINED_SHARE = 0.9
_SHARE, _CORRELATION = (0.0, 1.0), (-1.0, 1.0)

Winner = Literal["first", "second", "tie"]
Statistic = Callable[[NDArray[np.int64]], float | None]


@dataclass(frozen=True)
class Measure:
    """One row of judge_calibration.csv."""

    judge: str
    """Whose verdicts: judge or evaluator; both where they are compared."""
    measure: str
    status: str
    """ok, or why there is no number."""
    estimate: Estimate | None
    num_items: int


@dataclass(frozen=True)
class Rated:
    """One exchange with a judge's repeated verdicts; only repeats that were scored are here."""

    dialogue_id: str
    scores: tuple[tuple[float, ...], ...]
    """Repeat by repeat, the score of each dimension."""
    is_good: tuple[bool, ...]
    """Repeat by repeat, whether the exchange would be kept."""
    num_chars: int
    is_right: bool | None
    """What the reference says; None where there is none."""

    @property
    def mean(self) -> float:
        """The mean score of the first repeat, which is what a turn uses."""
        return float(np.mean(self.scores[0]))


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, compared in both orders; a is of the earlier turn."""

    dialogue_id: str
    earlier_first: Winner
    """Who won where the earlier turn's answer stood first."""
    later_first: Winner
    """The same where the later turn's answer stood first."""

    @property
    def is_consistent(self) -> bool:
        """Whether the same answer won both times."""
        return self.earlier_first == {"first": "second", "second": "first"}.get(
            self.later_first, "tie"
        )


def repeat_measures(
    judge: str, rated: Sequence[Rated], *, score_range: float, seed: int
) -> list[Measure]:
    """How alike verdicts on the same exchange are.

    ``repeat_agreement``: share of exchanges that all repeats would keep, or all drop.
    ``repeat_deviation``: standard deviation of the mean score between repeats, on a scale that is
    ``score_range`` long.
    """
    repeated = [each for each in rated if len(each.scores) > 1]
    agreed = np.array([len(set(each.is_good)) == 1 for each in repeated], dtype=float)
    variances = np.array([np.var(np.mean(each.scores, axis=1), ddof=1) for each in repeated])
    names = [each.dialogue_id for each in repeated]
    return [
        _measure(
            judge,
            "repeat_agreement",
            names,
            lambda rows: float(agreed[rows].mean()),
            seed,
            limits=_SHARE,
        ),
        _measure(
            judge,
            "repeat_deviation",
            names,
            lambda rows: float(np.sqrt(variances[rows].mean())),
            seed,
            limits=(0.0, score_range),
        ),
    ]


def length_measures(judge: str, rated: Sequence[Rated], *, seed: int) -> list[Measure]:
    """Spearman's correlation of score and length, of all answers and of the right ones alone.

    Right answers may be longer; among the right ones a correlation is the judge's taste.
    """
    right = [each for each in rated if each.is_right]
    return [
        _spearman(judge, "length_correlation", rated, seed),
        _spearman(judge, "length_correlation_of_right", right, seed),
    ]


def _spearman(judge: str, name: str, rated: Sequence[Rated], seed: int) -> Measure:
    means = np.array([each.mean for each in rated])
    lengths = np.array([each.num_chars for each in rated], dtype=float)

    def statistic(rows: NDArray[np.int64]) -> float | None:
        if np.ptp(means[rows]) == 0 or np.ptp(lengths[rows]) == 0:
            return None
        return float(spearmanr(means[rows], lengths[rows]).statistic)

    names = [each.dialogue_id for each in rated]
    return _measure(judge, name, names, statistic, seed, limits=_CORRELATION)


def reference_measures(judge: str, rated: Sequence[Rated], *, seed: int) -> list[Measure]:
    """Verdicts against references: Cohen's kappa of kept and right, AUROC of the mean score."""
    known = [each for each in rated if each.is_right is not None]
    right = np.array([bool(each.is_right) for each in known])
    good = np.array([each.is_good[0] for each in known])
    means = np.array([each.mean for each in known])
    names = [each.dialogue_id for each in known]

    def separation(rows: NDArray[np.int64]) -> float | None:
        sides = means[rows][right[rows]], means[rows][~right[rows]]
        return auroc(*sides).value if min(map(len, sides)) > 1 else None

    return [
        _measure(
            judge,
            "reference_kappa",
            names,
            lambda rows: kappa(good[rows], right[rows]),
            seed,
            limits=_CORRELATION,
        ),
        _measure(judge, "reference_auroc", names, separation, seed, limits=_SHARE),
    ]


def kappa(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float | None:
    """Cohen's kappa of two yes/no verdicts; None where both say the same of everything."""
    agreed = float((first == second).mean())
    by_chance = first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean())
    return float((agreed - by_chance) / (1 - by_chance)) if by_chance < 1 else None


def agreement_measure(first: Sequence[Rated], second: Sequence[Rated], *, seed: int) -> Measure:
    """Cohen's kappa of what two judges would keep, over the exchanges that both scored."""
    good = [np.array([each.is_good[0] for each in rated]) for rated in (first, second)]
    names = [each.dialogue_id for each in first]
    return _measure(
        "both",
        "judge_agreement",
        names,
        lambda rows: kappa(good[0][rows], good[1][rows]),
        seed,
        limits=_CORRELATION,
    )


def order_measures(judge: str, pairs: Sequence[Pair], *, seed: int) -> list[Measure]:
    """What the order of two answers does.

    ``flip_rate``: share of pairs whose winner changes with the order. ``first_share``: share of
    all decided comparisons that the first one wins; 0.5 is no preference. ``later_share``: of the
    pairs decided the same way twice, those that the later turn wins.
    """
    names = [pair.dialogue_id for pair in pairs]
    flipped = np.array([not pair.is_consistent for pair in pairs], dtype=float)
    winners = np.array([[pair.earlier_first, pair.later_first] for pair in pairs], dtype=object)

    def first_share(rows: NDArray[np.int64]) -> float | None:
        decided = winners[rows][winners[rows] != "tie"]
        return float((decided == "first").mean()) if len(decided) else None

    clear = [pair for pair in pairs if pair.is_consistent and pair.earlier_first != "tie"]
    later = np.array([pair.earlier_first == "second" for pair in clear], dtype=float)
    return [
        _measure(
            judge,
            "flip_rate",
            names,
            lambda rows: float(flipped[rows].mean()),
            seed,
            limits=_SHARE,
        ),
        _measure(judge, "first_share", names, first_share, seed, limits=_SHARE),
        _measure(
            judge,
            "later_share",
            [pair.dialogue_id for pair in clear],
            lambda rows: float(later[rows].mean()),
            seed,
            limits=_SHARE,
        ),
    ]


def _measure(
    judge: str,
    name: str,
    dialogue_ids: Sequence[str],
    statistic: Statistic,
    seed: int,
    *,
    limits: tuple[float, float],
) -> Measure:
    """A statistic of rows with its interval, or the reason why it does not exist.

    Where no draw differs, the interval allows for what as many dialogues leave possible, as in
    `bootstrap_mean`: none of 60 is not never.
    """
    if not dialogue_ids:
        return Measure(judge, name, "nothing to measure it on", None, 0)
    value = statistic(np.arange(len(dialogue_ids)))
    if value is None:
        return Measure(judge, name, "undefined: all values are equal", None, len(dialogue_ids))
    draws = _draw(dialogue_ids, statistic, seed=seed)
    if len(draws) < _MIN_DEFINED_SHARE * _NUM_DRAWS:
        return Measure(judge, name, "undefined in too many draws", None, len(dialogue_ids))
    tail = (1 - _CONFIDENCE) / 2
    low, high = (float(each) for each in np.quantile(draws, [tail, 1 - tail]).round(12))
    if low == high:
        other = 1 - tail ** (1 / len(set(dialogue_ids)))
        low, high = low - other * (low - limits[0]), high + other * (limits[1] - high)
    return Measure(judge, name, "ok", Estimate(value, low, high), len(dialogue_ids))


def _draw(dialogue_ids: Sequence[str], statistic: Statistic, *, seed: int) -> list[float]:
    """The statistic over dialogues drawn with replacement, where it is defined."""
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(dialogue_ids):
        rows_of[name].append(row)
    groups = [np.array(rows_of[name]) for name in sorted(rows_of)]
    rng = np.random.default_rng(seed)
    found = (
        statistic(np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))]))
        for _ in range(_NUM_DRAWS)
    )
    return [value for value in found if value is not None]

"""Two subjects on the same items: how much better one is, and whether that is shown.

Shape letters: N items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from sluice.errors import DataError, shorten_ids
from sluice.evaluation.grades import OVERALL, GradedAnswer, accuracy_of, group_of, item_shares
from sluice.intervals import Estimate, Floats, bootstrap_mean
from sluice.seeds import derive_seed

Finding = Literal["gain", "loss", "no difference shown"]

SIGNIFICANCE = 0.05
"""A difference is claimed where the corrected p is below this."""

_GRADE_AGAIN = "grade both anew with the same samples and the same settings: grade_answers"
# What differs between two answers to an item -> in which fields, and what to do.
_DIFFERENCES = {
    "have another prompt or group": (
        ("prompt", "group"),
        "the samples changed between the two runs: make the older answers anew",
    ),
    "were compared with another reference": (("reference_hash",), _GRADE_AGAIN),
    "were graded with other settings": (("grader_hash",), _GRADE_AGAIN),
}


@dataclass(frozen=True)
class Pairs:
    """The items of a suite, with what both subjects made of each."""

    suite: str
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    first_N: Floats
    """Share of right answers of the first subject: 0 or 1 where an item has one answer."""
    second_N: Floats
    num_answers: tuple[int, int]
    """Answers an item, of the first and of the second."""


@dataclass(frozen=True)
class Comparison:
    """One row of ``comparison.csv``: a group of a suite, or all of it."""

    suite: str
    group: str
    num_items: int
    first: Estimate
    second: Estimate
    difference: Estimate
    """The second above the first."""
    first_better: int
    """Items on which the first is right and the second is not (or less often)."""
    second_better: int
    p_value: float
    """Exact McNemar test, two-sided; a sign test where items have several answers."""
    p_corrected: float
    """After Holm, over the suites or over all groups of all suites."""
    num_answers: tuple[int, int]
    """Answers an item, of the first and of the second."""

    @property
    def has_one_answer(self) -> bool:
        """Whether an item is right or wrong on both sides, not right by a share."""
        return self.num_answers == (1, 1)

    @property
    def finding(self) -> Finding:
        """What may be said: a difference only where the test shows it, and the mean agrees."""
        is_shown = self.p_corrected < SIGNIFICANCE
        if is_shown and self.second_better > self.first_better and self.difference.value > 0:
            return "gain"
        if is_shown and self.second_better < self.first_better and self.difference.value < 0:
            return "loss"
        return "no difference shown"


def pair_items(suite: str, first: Sequence[GradedAnswer], second: Sequence[GradedAnswer]) -> Pairs:
    """Pairs the items of two graded files, sorted by id.

    Raises:
        DataError: the two do not have the same items, prompts and groups, or they were graded
            differently.
    """
    _check_comparable(suite, first, second)
    shares = [item_shares(graded) for graded in (first, second)]
    ids = sorted(shares[0])
    groups = {answer.id: group_of(answer) for answer in first}
    first_N, second_N = (np.array([found[each] for each in ids]) for found in shares)
    return Pairs(
        suite,
        tuple(ids),
        tuple(groups[each] for each in ids),
        first_N,
        second_N,
        (len(first) // len(ids), len(second) // len(ids)),
    )


def _check_comparable(
    suite: str, first: Sequence[GradedAnswer], second: Sequence[GradedAnswer]
) -> None:
    sides = [{answer.id: answer for answer in graded} for graded in (first, second)]
    where = f"suite '{suite}'"
    alone = [sorted(set(sides[0]) - set(sides[1])), sorted(set(sides[1]) - set(sides[0]))]
    if any(alone):
        texts = [
            f"{len(ids):,} only of the {name} ({shorten_ids(ids)})"
            for name, ids in zip(("first", "second"), alone, strict=True)
            if ids
        ]
        raise DataError(
            f"the two did not answer the same items: {'; '.join(texts)}",
            where=where,
            expected="the same ids on both sides",
            hint="let both answer the same file of samples",
        )
    if not sides[0]:
        raise DataError("there is no item to compare", where=where)
    for what, (fields, hint) in _DIFFERENCES.items():
        of = attrgetter(*fields)
        changed = sorted(
            each for each, answer in sides[0].items() if of(answer) != of(sides[1][each])
        )
        if changed:
            raise DataError(
                f"{len(changed):,} items {what} on the other side ({shorten_ids(changed)})",
                where=where,
                hint=hint,
            )


def compare_suites(suites: Sequence[Pairs], *, seed: int) -> list[Comparison]:
    """For each suite all of it, then its groups by name.

    Holm's correction is made over the suites for the rows of whole suites, and over all groups of
    all suites for the others: two families of questions.
    """
    whole = [_compare(pairs, OVERALL, np.ones(len(pairs.ids), bool), seed=seed) for pairs in suites]
    parts = [
        _compare(pairs, group, np.array([each == group for each in pairs.groups]), seed=seed)
        for pairs in suites
        for group in sorted(set(pairs.groups))
        if len(set(pairs.groups)) > 1
    ]
    rows = [*_corrected(whole), *_corrected(parts)]
    order: Mapping[str, int] = {pairs.suite: place for place, pairs in enumerate(suites)}
    return sorted(rows, key=lambda row: (order[row.suite], row.group != OVERALL, row.group))


def _compare(pairs: Pairs, group: str, is_member_N: NDArray[np.bool_], *, seed: int) -> Comparison:
    first_N, second_N = pairs.first_N[is_member_N], pairs.second_N[is_member_N]
    num_first, num_second = pairs.num_answers
    grading_seed = derive_seed(seed, "grade_answers", group)
    first_better, second_better = int((first_N > second_N).sum()), int((second_N > first_N).sum())
    p_value = mcnemar(first_better, second_better)
    return Comparison(
        suite=pairs.suite,
        group=group,
        num_items=len(first_N),
        first=accuracy_of(first_N, num_answers=num_first, seed=grading_seed),
        second=accuracy_of(second_N, num_answers=num_second, seed=grading_seed),
        difference=bootstrap_mean(
            second_N - first_N,
            limits=(-1.0, 1.0),
            seed=derive_seed(seed, "compare_models", pairs.suite, group),
        ),
        first_better=first_better,
        second_better=second_better,
        p_value=p_value,
        p_corrected=p_value,
        num_answers=pairs.num_answers,
    )


def mcnemar(first_better: int, second_better: int) -> float:
    """Exact two-sided p of McNemar's test (Psychometrika 12, 1947).

    Under no difference each discordant item falls to either side like a coin. Where items have
    several answers, those on which the shares differ are the discordant ones: a sign test.
    """
    discordant = first_better + second_better
    return float(binomtest(first_better, discordant).pvalue) if discordant else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Scandinavian Journal of Statistics 6, 1979), in the given order.

    The k-th smallest of m is multiplied by m - k + 1; none is smaller than the one before it.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def _corrected(rows: Sequence[Comparison]) -> list[Comparison]:
    corrected = holm([row.p_value for row in rows])
    return [replace(row, p_corrected=p_value) for row, p_value in zip(rows, corrected, strict=True)]

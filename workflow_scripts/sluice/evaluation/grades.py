"""Answers graded: one verdict an answer, and accuracy by group with an interval.

Shape letters: N items.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sluice.errors import DataError, GradingError, shorten_ids
from sluice.evaluation.answers import Answer, prompt_of
from sluice.grading.choosing import make_grader
from sluice.grading.grade import Grader, Verdict, share_of_commonest
from sluice.intervals import Estimate, Floats, bootstrap_mean, share
from sluice.records import Sample
from sluice.seeds import derive_seed
from sluice.settings.grading import GraderSettings
from sluice.tables import read_number_table

OVERALL = "overall"
NO_GROUP = "(none)"
TABLE_COLUMNS = ("group", "n", "answers", "correct", "accuracy", "low", "high")


class GradedAnswer(Answer):
    """One answer with its grade: a line of ``{suite}.jsonl``."""

    answer: str | None
    """What the grader found, in its normal form; null where no answer counts."""
    verdict: Verdict
    reference_hash: str
    """Of what it was compared with; see `short_hash`."""
    grader_hash: str
    """Of the grader's settings."""

    @classmethod
    def label(cls) -> str:
        """What a line is, for messages."""
        return "graded answer"


@dataclass(frozen=True)
class GroupAccuracy:
    """How often a group's answers are right; a row of ``{suite}.csv``."""

    group: str
    num_items: int
    num_answers: int
    num_correct: int
    """Answers, not items."""
    accuracy: Estimate


def short_hash(value: Any) -> str:
    """12 hex digits that differ where JSON values do; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def grade_answers(
    answers: Sequence[Answer], samples: Sequence[Sample], settings: GraderSettings
) -> list[GradedAnswer]:
    """Every answer with its verdict, in the order of the answers.

    Raises:
        ConfigError: the grader's settings do not fit together.
        DataError: the answers are not those to these items.
        GradingError: an item has no reference, or none that the grader can compare with.
    """
    grader = make_grader(settings)
    grader_hash = short_hash(settings.model_dump(mode="json"))
    items = {sample.id: sample for sample in samples}
    _check_same_items(answers, items)
    bare = [sample.id for sample in samples if sample.reference is None]
    if bare:
        raise GradingError(
            f"{len(bare):,} of {len(items):,} items have no 'reference' ({shorten_ids(bare)})",
            expected='an object with what the grader compares with, such as {"answer": "42"}',
        )
    return [_grade(answer, items[answer.id], grader, grader_hash) for answer in answers]


def _grade(answer: Answer, sample: Sample, grader: Grader, grader_hash: str) -> GradedAnswer:
    reference = sample.reference or {}
    try:
        grade = grader(answer.completion, reference, is_cut_off=answer.finish_reason == "length")
    except GradingError as error:
        raise GradingError(
            error.what, where=f"item '{sample.id}'", expected=error.expected, hint=error.hint
        ) from None
    return GradedAnswer(
        **dict(answer),
        answer=grade.answer,
        verdict=grade.verdict,
        reference_hash=short_hash(reference),
        grader_hash=grader_hash,
    )


def _check_same_items(answers: Sequence[Answer], items: Mapping[str, Sample]) -> None:
    counts = Counter(answer.id for answer in answers)
    unknown = [each for each in counts if each not in items]
    unanswered = [each for each in items if each not in counts]
    others = {
        answer.id
        for answer in answers
        if answer.id in items and answer.prompt != prompt_of(items[answer.id])
    }
    problems = {
        "are answered that the suite does not have": unknown,
        "have no answer": unanswered,
        "were asked another question": sorted(others),
        "have fewer answers than others": _short_of_answers(counts),
    }
    for what, ids in problems.items():
        if ids:
            raise DataError(
                f"{len(ids):,} items {what} ({shorten_ids(ids)})",
                hint="the suite changed since: make the answers anew",
            )


def _short_of_answers(counts: Mapping[str, int]) -> list[str]:
    most = max(counts.values(), default=0)
    return [each for each, count in counts.items() if count < most]


def item_shares(graded: Sequence[GradedAnswer]) -> dict[str, float]:
    """Item -> share of its answers that are right, in the order in which the items come."""
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for answer in graded:
        verdicts[answer.id].append(answer.verdict == "correct")
    return {each: sum(found) / len(found) for each, found in verdicts.items()}


def group_of(answer: Answer) -> str:
    """The name under which an answer's group stands in tables."""
    return answer.group if answer.group is not None else NO_GROUP


def accuracies(graded: Sequence[GradedAnswer], *, seed: int) -> list[GroupAccuracy]:
    """One row a group, sorted by name, and all items together as the last, `OVERALL`.

    Where no item has a group, that row is the only one.

    Raises:
        DataError: a group has the name of the last row.
    """
    groups: dict[str, list[GradedAnswer]] = defaultdict(list)
    for answer in graded:
        groups[group_of(answer)].append(answer)
    if OVERALL in groups:
        raise DataError(
            f"a group is named '{OVERALL}', as the row of all items is",
            hint="give the group of these items another name",
        )
    names = sorted(groups) if set(groups) != {NO_GROUP} else []
    rows = [group_accuracy(name, groups[name], seed=seed) for name in names]
    return [*rows, group_accuracy(OVERALL, graded, seed=seed)]


def group_accuracy(group: str, graded: Sequence[GradedAnswer], *, seed: int) -> GroupAccuracy:
    """The row of one group: ``graded`` are the answers to its items, all of them."""
    shares_N = np.array(list(item_shares(graded).values()))
    num_correct = sum(answer.verdict == "correct" for answer in graded)
    estimate = accuracy_of(
        shares_N,
        num_answers=len(graded) // len(shares_N),
        seed=derive_seed(seed, "grade_answers", group),
    )
    return GroupAccuracy(group, len(shares_N), len(graded), num_correct, estimate)


def accuracy_of(shares_N: Floats, *, num_answers: int, seed: int) -> Estimate:
    """Mean accuracy of items with its 95 % interval.

    Wilson's where each item has one answer; else a bootstrap over items, since answers to one item
    are not independent.
    """
    if num_answers == 1:
        return share(round(float(shares_N.sum())), len(shares_N))
    return bootstrap_mean(shares_N, limits=(0.0, 1.0), seed=seed)


def accuracy_table(rows: Sequence[GroupAccuracy]) -> pd.DataFrame:
    """``group, n, answers, correct, accuracy, low, high``: n items, shares from 0 to 1."""
    return pd.DataFrame(
        [
            {
                "group": row.group,
                "n": row.num_items,
                "answers": row.num_answers,
                "correct": row.num_correct,
                "accuracy": row.accuracy.value,
                "low": row.accuracy.low,
                "high": row.accuracy.high,
            }
            for row in rows
        ]
    )


def read_accuracy_table(path: Path) -> pd.DataFrame:
    """Reads a table of `accuracy_table`.

    Raises:
        DataError: the file is missing, or is no such table.
    """
    group, *numbers = TABLE_COLUMNS
    table = read_number_table(path, texts=(group,), numbers=numbers)
    if OVERALL not in set(table[group]):
        raise DataError(f"{path} is no table of accuracies", expected=f"a row '{OVERALL}'")
    return table


def evaluation_results(
    graded: Sequence[GradedAnswer],
    rows: Sequence[GroupAccuracy],
    *,
    subject: str,
    suite: str,
    grader: str,
) -> dict[str, Any]:
    """What ``{suite}.evaluation_results.json`` holds.

    Beside the accuracies: how the answers came out by verdict, and the commonest answer with its
    share, where a model that copies the prompt's example shows up.
    """
    *groups, overall = accuracy_table(rows).to_dict("records")
    num_samples = overall["answers"] // overall["n"]
    common = share_of_commonest([answer.answer for answer in graded])
    return {
        "subject": subject,
        "suite": suite,
        "grader": grader,
        "num_samples": num_samples,
        "interval": "95 %, Wilson" if num_samples == 1 else "95 %, bootstrap over items",
        "overall": {name: value for name, value in overall.items() if name != "group"},
        "groups": groups,
        "verdicts": dict(sorted(Counter(answer.verdict for answer in graded).items())),
        "commonest_answer": common and {"answer": common[0], "share": common[1]},
        "mean_tokens": sum(answer.num_tokens for answer in graded) / len(graded),
    }

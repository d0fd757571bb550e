"""The grader `lawshift`: whether a verdict is right under a statute, before and after its change.

LawShift (NeurIPS 2025 Datasets and Benchmarks) asks for no exact term: what counts is whether a
model follows the change. Before it, most types must be judged a violation; after it, what the
type's label says.
"""

from collections.abc import Mapping
from typing import Any, Literal

from sluice.grading.grade import Grade
from sluice.grading.legal_forms import EXTREME, NO_VIOLATION
from sluice.grading.legal_verdict import find_verdicts
from sluice.grading.parsing import judge, read_reference, refuse_reference

Label = Literal["V", "NV", "TU", "TD", "XT", "NX"]
Split = Literal["original", "poisoned"]

LABELS: tuple[Label, ...] = ("V", "NV", "TU", "TD", "XT", "NX")
SPLITS: tuple[Split, ...] = ("original", "poisoned")

# Months between which the cases of the types TU, TD and XT lie under the original statute.
_LOW_MONTHS, _HIGH_MONTHS = 36, 120


def grade_lawshift(
    completion: str, reference: Mapping[str, Any], *, is_cut_off: bool = False
) -> Grade:
    """Judges a verdict by the label of the case's change type and by its split.

    Verdicts are found as `legal_verdict` finds them. What is right stands at `is_success`.

    Args:
        completion: what the model wrote.
        reference: ``label``: V, NV, TU, TD, XT or NX. ``split``: original or poisoned.
        is_cut_off: whether the completion ended at the token limit.
    Returns:
        The grade; its answer is ``V | 36``, ``V | XT`` or ``NV``.
    Raises:
        GradingError: ``label`` or ``split`` is missing or unknown.
    """
    label = _read(reference, "label", LABELS)
    split = _read(reference, "split", SPLITS)
    grade = judge(completion, right="", find=find_verdicts, is_cut_off=is_cut_off)
    if grade.answer is None:
        return grade
    is_right = is_success(grade.answer, label=label, split=split)
    return Grade("correct" if is_right else "wrong", grade.answer)


def is_success(verdict: str, *, label: str, split: str) -> bool:
    """Whether a verdict in normal form is right.

    ======== ========================== =====================
    label    original statute           changed statute
    ======== ========================== =====================
    V        a violation                a violation
    NV       a violation                none
    TU       36 to 120 months           120 months or more
    TD       36 to 120 months           36 months or less
    XT       36 to 120 months           death or life
    NX       death or life              36 months or more
    ======== ========================== =====================

    Death and life are no number of months, neither many nor few.
    """
    term = verdict.removeprefix("V | ")
    is_extreme = term == EXTREME
    months = int(term) if term.isdecimal() else None
    is_violation = verdict != NO_VIOLATION
    is_medium = months is not None and _LOW_MONTHS <= months <= _HIGH_MONTHS
    right: Mapping[tuple[str, str], bool] = {
        ("original", "V"): is_violation,
        ("original", "NV"): is_violation,
        ("original", "TU"): is_medium,
        ("original", "TD"): is_medium,
        ("original", "XT"): is_medium,
        ("original", "NX"): is_extreme,
        ("poisoned", "V"): is_violation,
        ("poisoned", "NV"): not is_violation,
        ("poisoned", "TU"): months is not None and months >= _HIGH_MONTHS,
        ("poisoned", "TD"): months is not None and months <= _LOW_MONTHS,
        ("poisoned", "XT"): is_extreme,
        ("poisoned", "NX"): months is not None and months >= _LOW_MONTHS,
    }
    return right[split, label]


def _read(reference: Mapping[str, Any], key: str, known: tuple[str, ...]) -> str:
    expected = f"'{key}': {', '.join(known)}"
    value = read_reference(reference, key, grader="lawshift", expected=expected)
    if value not in known:
        raise refuse_reference(key, value, grader="lawshift", expected=expected)
    return str(value)

"""The grader `legal_judgment`: charge and term, ``<answer> {charge} | {months} </answer>``."""

from collections.abc import Mapping
from typing import Any

from sluice.grading.grade import Grade
from sluice.grading.legal_forms import (
    NO_VIOLATION,
    clean,
    cut_at_tags,
    is_no_violation,
    read_charge,
    read_charge_reference,
    read_term,
    read_term_reference,
    refuse_contradiction,
)
from sluice.grading.parsing import Finding, judge


def grade_legal_judgment(
    completion: str, reference: Mapping[str, Any], *, is_cut_off: bool = False
) -> Grade:
    """Compares charge and term; both must be right.

    An answer stands in ``<answer>`` tags: ``charge | months`` or ``charge | XT``, or ``NV`` or
    ``不违规`` alone, which may also stand without tags on a line of its own. Charges are compared
    without a final 罪, case, width and blanks; a term may be months, years or words (`read_term`).
    Answers that agree are one; answers that differ are conflicting_answers. Malformed are a missing
    or blank part, a term that is none, ``NV`` with a term, a tag without its partner, nested tags,
    and a last line ``charge | months`` without any tag.

    Args:
        completion: what the model wrote.
        reference: ``charge``: its name, or ``NV`` / ``不违规``. ``prison_time``: months as a number
            or text, ``XT`` (or 死刑, 无期徒刑, death, life), or an object of ``imprisonment``
            (months), ``death_penalty`` and ``life_imprisonment`` (true or false; false where
            absent); not needed beside ``NV``.
        is_cut_off: whether the completion ended at the token limit.
    Returns:
        The grade; its answer is ``盗窃 | 36``, ``盗窃 | XT`` or ``NV``.
    Raises:
        GradingError: ``charge`` or ``prison_time`` is missing or illegal.
    """
    right = _read_reference(reference)
    return judge(completion, right=right, find=find_judgments, is_cut_off=is_cut_off)


def find_judgments(text: str) -> Finding:
    """The judgments that a normalised text holds."""
    tagged = cut_at_tags(text)
    fields = [clean(line) for line in tagged.outside.split("\n") if line.strip()]
    bare = [field for field in fields if is_no_violation(field)]
    found = [_read(content) for content in tagged.contents] + [NO_VIOLATION for _ in bare]
    has_untagged = not found and bool(fields) and _looks_like_one(fields[-1])
    is_last_bare = not tagged.outside.endswith("\n") and bool(bare) and is_no_violation(fields[-1])
    return Finding(
        frozenset(answer for answer in found if answer),
        is_malformed=tagged.is_unpaired or None in found or has_untagged,
        is_open=tagged.is_open or is_last_bare,
    )


def _read(content: str) -> str | None:
    parts = [clean(part) for part in clean(content).split("|")]
    if len(parts) == 1:
        return NO_VIOLATION if is_no_violation(parts[0]) else None
    charge, term = parts[0], read_term(parts[-1])
    if len(parts) > 2 or not charge or is_no_violation(charge) or term is None:
        return None
    return f"{read_charge(charge)} | {term}"


def _looks_like_one(field: str) -> bool:
    """Whether a line without tags says what belongs into them."""
    charge, pipe, term = field.partition("|")
    return bool(pipe and charge.strip() and read_term(clean(term)))


def _read_reference(reference: Mapping[str, Any]) -> str:
    charge = read_charge_reference(reference, grader="legal_judgment")
    if charge == NO_VIOLATION:
        refuse_contradiction(reference, grader="legal_judgment")
        return NO_VIOLATION
    return f"{charge} | {read_term_reference(reference, grader='legal_judgment')}"

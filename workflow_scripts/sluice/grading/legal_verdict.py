"""The grader `legal_verdict`: violated or not, and the term: ``V | months``, ``V | XT``, ``NV``."""

import re
from collections.abc import Mapping
from typing import Any

from sluice.grading.grade import Grade
from sluice.grading.legal_forms import (
    NO_VIOLATION,
    clean,
    cut_at_tags,
    is_no_violation,
    read_charge_reference,
    read_term,
    read_term_reference,
    refuse_contradiction,
)
from sluice.grading.parsing import Finding, judge

_HEAD = re.compile(r"(?:(?:final )?(?:answer|verdict)|答案|判决|结论|结果) ?[:是为] ?")
# The beginnings of a verdict: V or NV alone, or with something behind that words would not have.
_BEGINNING = re.compile(r"(?:n?v|不违规) ?(?:$|[|:;,/0-9])")


def grade_legal_verdict(
    completion: str, reference: Mapping[str, Any], *, is_cut_off: bool = False
) -> Grade:
    """Compares the verdict and, where something was violated, the term.

    A verdict is ``V | months``, ``V | XT`` or ``NV`` (or ``不违规``) in ``<answer>`` tags or on a
    line of its own, with or without ``Answer:`` or ``判决：`` before it; terms as in `read_term`.
    Verdicts that agree are one; verdicts that differ are conflicting_answers. Malformed are ``V``
    without a term, ``NV`` with one, a term that is none, anything else in tags, a tag without its
    partner, nested tags, and a last line with a ``|`` that is no verdict.

    Args:
        completion: what the model wrote.
        reference: ``charge``: ``NV`` or ``不违规`` where nothing was violated, any other text where
            something was; the charge itself is not compared. ``prison_time``: months as a number
            or text, ``XT`` (or 死刑, 无期徒刑, death, life), or an object of ``imprisonment``
            (months), ``death_penalty`` and ``life_imprisonment`` (true or false; false where
            absent); not needed beside ``NV``.
        is_cut_off: whether the completion ended at the token limit.
    Returns:
        The grade; its answer is ``V | 36``, ``V | XT`` or ``NV``.
    Raises:
        GradingError: ``charge`` or ``prison_time`` is missing or illegal.
    """
    right = _read_reference(reference)
    return judge(completion, right=right, find=find_verdicts, is_cut_off=is_cut_off)


def find_verdicts(text: str) -> Finding:
    """The verdicts that a normalised text holds."""
    tagged = cut_at_tags(text)
    lines = [_without_head(clean(line)) for line in tagged.outside.split("\n") if line.strip()]
    found = [_read(content) for content in tagged.contents]
    found += [_read(line) for line in lines if _BEGINNING.match(line)]
    has_other = bool(lines) and "|" in lines[-1] and not _BEGINNING.match(lines[-1])
    is_last_bare = bool(lines) and not tagged.outside.endswith("\n")
    is_last_bare = is_last_bare and bool(_BEGINNING.match(lines[-1]))
    return Finding(
        frozenset(answer for answer in found if answer),
        is_malformed=tagged.is_unpaired or None in found or has_other,
        is_open=tagged.is_open or is_last_bare,
    )


def _read(content: str) -> str | None:
    parts = [clean(part) for part in _without_head(clean(content)).split("|")]
    if len(parts) == 1:
        return NO_VIOLATION if is_no_violation(parts[0]) else None
    term = read_term(parts[1])
    return f"V | {term}" if len(parts) == 2 and parts[0] == "v" and term else None


def _without_head(line: str) -> str:
    head = _HEAD.match(line)
    return clean(line[head.end() :]) if head else line


def _read_reference(reference: Mapping[str, Any]) -> str:
    if read_charge_reference(reference, grader="legal_verdict") == NO_VIOLATION:
        refuse_contradiction(reference, grader="legal_verdict")
        return NO_VIOLATION
    return f"V | {read_term_reference(reference, grader='legal_verdict')}"

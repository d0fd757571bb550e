"""What the two legal graders share: terms of imprisonment, answer tags, references."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.grading.parsing import collapse, normalise, read_reference, refuse_reference

NO_VIOLATION = "NV"
"""The normal form of: no article was violated."""

EXTREME = "XT"
"""The normal form of a death sentence and of imprisonment for life."""

_NO_VIOLATION_WORDS = frozenset(["nv", "不违规"])
_EXTREME_WORDS = frozenset(
    [
        *("xt", "死刑", "死缓", "死刑缓期执行", "死刑缓期二年执行", "无期", "无期徒刑"),
        *("death", "death penalty", "death sentence"),
        *("life", "life imprisonment", "life sentence", "life in prison"),
    ]
)
_TERM = re.compile(
    r"""
    (?: 有期徒刑 [ ]? | imprisonment [ ] (?: (?:of|for) [ ] )? )?
    (?: (?P<months> [0-9]{1,5} ) [ ]? (?: 个?月 | months? )?
      | (?P<years> [0-9]{1,3} ) [ ]? (?: 年 | years? )
        (?: [ ]? (?: 零 | 又 | and )? [ ]? (?P<rest> [0-9]{1,2} ) [ ]? (?: 个?月 | months? ) )?
    )
    """,
    re.VERBOSE,
)
_PIPE = re.compile("[\u2223\u2502\u4e28\u00a6]")
_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
_WIDE_GAP = re.compile(r"(?<=[^\x00-\x7f]) (?=[^\x00-\x7f])")

_EXPECTED_CHARGE = "'charge': the name of the charge, or 'NV' where nothing was violated"
_EXPECTED_TERM = (
    "'prison_time': months from 0 to 99999, as a number or text, 'XT' (or 死刑, 无期徒刑, death, "
    'life), or {"imprisonment": months, "death_penalty": bool, "life_imprisonment": bool}'
)


def clean(text: str) -> str:
    """A field of a normalised answer without bold type, quotation marks and final full stop."""
    text = _PIPE.sub("|", collapse(text)).casefold()
    return text.strip(" *_`\"'“”‘’").rstrip(".。").strip(" *_`\"'“”‘’")


def is_no_violation(field: str) -> bool:
    """Whether a cleaned field says that nothing was violated: ``NV`` or ``不违规``."""
    return field in _NO_VIOLATION_WORDS


def read_term(field: str) -> str | None:
    """A cleaned field's term in normal form: months (``36``) or ``XT``; None where it is none.

    ``36``, ``36个月``, ``36 months``; ``3年`` and ``3 years`` are 36, ``3年6个月`` 42. Death and
    life, a suspended death sentence too, are ``XT``. Halves, ranges, negative numbers and Chinese
    numerals are no terms.
    """
    if field in _EXTREME_WORDS:
        return EXTREME
    term = _TERM.fullmatch(field)
    if not term:
        return None
    return str(int(term["months"] or 12 * int(term["years"]) + int(term["rest"] or 0)))


def read_charge(field: str) -> str:
    """A cleaned charge in normal form: no blanks between Chinese characters, no final 罪."""
    charge = _WIDE_GAP.sub("", field)
    return charge.removesuffix("罪") or charge


@dataclass(frozen=True)
class Tagged:
    """A text cut up at its ``<answer>`` tags."""

    contents: tuple[str, ...]
    """What stands in each pair."""
    outside: str
    """What stands in none; what was apart is on lines of its own."""
    is_unpaired: bool
    """Whether a tag lacks its partner, as in nested pairs."""
    is_open: bool
    """Whether the last pair is never closed; what follows it stands nowhere here."""


def cut_at_tags(text: str) -> Tagged:
    """Finds the ``<answer>`` pairs of a text, in any case of their letters."""
    contents: list[str] = []
    outside: list[str] = []
    start, is_inside, is_unpaired = 0, False, False
    for tag in _TAG.finditer(text):
        is_end = bool(tag[1])
        if is_end == is_inside:
            (contents if is_inside else outside).append(text[start : tag.start()])
        is_unpaired |= is_end != is_inside
        is_inside, start = not is_end, tag.end()
    if not is_inside:
        outside.append(text[start:])
    return Tagged(tuple(contents), "\n".join(outside), is_unpaired or is_inside, is_inside)


def read_charge_reference(reference: Mapping[str, Any], *, grader: str) -> str:
    """``reference["charge"]`` in normal form, ``NV`` where nothing was violated.

    Raises:
        GradingError: it is missing, blank, or no text.
    """
    value = read_reference(reference, "charge", grader=grader, expected=_EXPECTED_CHARGE)
    field = clean(normalise(value)) if isinstance(value, str) else ""
    if not field:
        raise refuse_reference("charge", value, grader=grader, expected=_EXPECTED_CHARGE)
    return NO_VIOLATION if is_no_violation(field) else read_charge(field)


def read_term_reference(reference: Mapping[str, Any], *, grader: str) -> str:
    """``reference["prison_time"]`` in normal form: months or ``XT``.

    Raises:
        GradingError: it is missing or no legal term.
    """
    value = read_reference(reference, "prison_time", grader=grader, expected=_EXPECTED_TERM)
    term = _term_of_object(value) if isinstance(value, Mapping) else _term_of(value)
    if term is None:
        raise refuse_reference("prison_time", value, grader=grader, expected=_EXPECTED_TERM)
    return term


def refuse_contradiction(reference: Mapping[str, Any], *, grader: str) -> None:
    """Checks that a reference without violation names no term either: none, 0 or ``NV``.

    Raises:
        GradingError: it does.
    """
    value = reference.get("prison_time")
    if value is None or (isinstance(value, str) and is_no_violation(clean(normalise(value)))):
        return
    if read_term_reference(reference, grader=grader) != "0":
        raise refuse_reference(
            "prison_time",
            value,
            grader=grader,
            expected="no 'prison_time' (or null, 0, 'NV') where 'charge' says that nothing was "
            "violated",
        )


def _term_of(value: Any) -> str | None:
    return read_term(clean(normalise(str(value)))) if isinstance(value, int | str) else None


def _term_of_object(value: Mapping[str, Any]) -> str | None:
    extremes = [value.get(name, False) for name in ("death_penalty", "life_imprisonment")]
    months = value.get("imprisonment")
    if not all(isinstance(each, bool) for each in extremes):
        return None
    if any(extremes):
        return EXTREME
    return _term_of(months) if isinstance(months, int) else None

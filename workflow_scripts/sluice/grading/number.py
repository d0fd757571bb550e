r"""The grader `number`: the final number, compared exactly.

Three kinds of markers say "here is the answer": ``#### N``; ``A: N`` at the start of a line and
``Answer: N``, ``the answer is N``, ``答案：N``, ``答案是N`` anywhere; ``\boxed{N}``. Case does not
matter, bold type and LaTeX around them neither. Of each kind the last one counts, since models work
their way to an answer; two kinds whose last numbers differ are conflicting_answers.

N may have thousands separators (``1,234``, never ``1 234``), decimals, a sign, money and percent
signs (which are not compared: 50 % is 50), and may be a fraction (``1/2``, ``\frac{1}{2}``). A unit
may follow, but in the same clause no further digit, operator or word that would make it another
number: ``5 + 3``, ``3, 4``, ``5 million``, ``5万``, ``10²`` and ``1 234`` are malformed, not 5, 3,
5, 5, 10 and 1.

The final marker decides whether the answer is malformed. Earlier ones without a legal number
(``#### Step 2``, ``A: She has ...``, ``the answer is 15 * 8``) are passed over.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sluice.grading.grade import Grade
from sluice.grading.parsing import Finding, judge, normalise, read_reference, refuse_reference

_EXPECTED = "'answer': a number, or its text, such as 18, 2.5, '1,234', '-$3.50', '1/2'"

_MARKER = re.compile(
    r"""
    (?P<word> (?: ^[ \t>*_\#-]* \ba | (?<![a-z])answer | 答案 ) [*_]{0,3} [ ]? : )
  | (?P<soft> (?<![a-z])answer [ ] (?:is|was) (?![a-z]) [ ]? :? | 答案 (?:应该|应当|应)? [是为] :? )
  | (?P<hash> (?<!\#)\#{4}(?!\#) )
  | (?P<box> \\boxed[ ]?\{ )
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
# Nothing longer than this is read as an answer, so that a hostile text costs no more than its size.
_WINDOW = 300
_MAX_CHARACTERS = 100
_MONEY = r"\\?[$€£¥₹₩₽¢]"
_LEAD = re.compile(rf"(?:[\s*_`\"'=]|\\[(\[]|{_MONEY}|US(?=\$)|(?:usd|rmb|cny|eur|gbp)\s)*", re.I)
_NUMBER = re.compile(
    rf"""
    (?P<sign> [+-]? ) (?:{_MONEY})?
    (?: \\[dt]?frac \{{ (?P<top> [0-9]+ ) \}} \{{ (?P<bottom> [0-9]+ ) \}}
      | (?P<whole> [1-9][0-9]{{0,2}} (?:,[0-9]{{3}})+ | [0-9]+ )? (?:\. (?P<decimals> [0-9]+ ) )?
        (?: [ ]?/[ ]? (?P<under> [0-9]+ ) )?
    )
    """,
    re.VERBOSE,
)
# Up to the closing brace; braces inside are two deep at most.
_BOX = re.compile(r"((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_CLAUSE_END = re.compile(r"\n|####|\\boxed|[.。;?](?=\s|\Z|[*_`\"')\]}$])")
_TYPOGRAPHY = re.compile(
    r"\*+|_+|`+|\\(?:text|mathrm|mbox|textbf)\b|\\[)\]%$,;! ]|[{}]|\^\\circ|(?<=[a-z])[²³]"
)
# Words and signs right behind a number that make it another one, or none.
_OTHER_NUMBER = re.compile(
    r"""
    \s*[/!.] | \s*[-–—]\s | \s*[-–—][a-z]?(?![a-z]) | \s*(?-i:[KMBG])(?![a-z])
  | [\s-]* (?: [xyznkei] | pi | bn | mn | (?: hundred | thousand | million | billion | trillion
           | dozen | third | quarter | fifth ) s?
           | and | or | to | plus | minus | squared | cubed | half | halves ) (?![a-z])
  | \s* [个多余几]? (?: [半零一二三四五六七八九十万萬亿億多余几点成折] | 百(?!分)
           | 千(?!克|米|瓦|卡) | 分之 )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SIGNS_IN_CLAUSE = " \t%°,:()[]/-–—’'\"&、"


def grade_number(
    completion: str, reference: Mapping[str, Any], *, is_cut_off: bool = False
) -> Grade:
    """Compares the final number with the reference's, as exact fractions: 3.0 is 3, 0.33 not 1/3.

    Args:
        completion: what the model wrote.
        reference: ``answer``: a number (not true or false), or a text that is one and nothing
            else, in any form that a completion may use, of up to 100 characters.
        is_cut_off: whether the completion ended at the token limit. An answer whose line is not
            finished is then cut_off: ``#### 12`` may have been going to be 1234.
    Raises:
        GradingError: ``answer`` is missing or no number.
    """
    right = _read_reference(reference)
    return judge(completion, right=right, find=find_numbers, is_cut_off=is_cut_off)


def find_numbers(text: str) -> Finding:
    """The last number of each kind of marker in a normalised text."""
    last_by_kind: dict[str, Fraction] = {}
    final: _Reading | None = None
    for marker in reversed(list(_MARKER.finditer(text))):
        kind = "word" if marker.lastgroup == "soft" else str(marker.lastgroup)
        reading = None if kind in last_by_kind else _read_marker(text, marker)
        if reading is None:
            continue
        final = final or reading
        if reading.value is not None:
            last_by_kind[kind] = reading.value
    if final is None:
        return Finding()
    return Finding(
        frozenset(map(write_number, last_by_kind.values())),
        is_malformed=final.value is None,
        is_open=final.is_open,
    )


def write_number(value: Fraction) -> str:
    """A number's normal form: ``18``, ``-2.5``, and ``1/3`` where decimals have no end."""
    places = 0
    while (10**places) % value.denominator and places <= value.denominator.bit_length():
        places += 1
    if (10**places) % value.denominator:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


@dataclass(frozen=True)
class _Reading:
    """What stands behind a marker."""

    value: Fraction | None
    """None where it is no number, or might be another one than it seems."""
    is_open: bool = False
    """Whether it could go on if the text did."""


def _read_marker(text: str, marker: re.Match[str]) -> _Reading | None:
    """What stands behind a marker; None where words behind "the answer is" make it none."""
    if marker["box"]:
        return _read_box(text, marker.end())
    content = text[marker.end() : marker.end() + _WINDOW]
    rest = content[_end_of_lead(content) :]
    number = _match_number(rest)
    if number is None:
        return None if marker["soft"] else _Reading(None, is_open=True)
    tail = rest[number.end() :]
    end = _CLAUSE_END.search(tail)
    # A full stop at the very end may not be one: "3." may become "3.5".
    is_unfinished = end is None or (end[0] != "\n" and end.end() == len(tail))
    reaches_end = marker.end() + len(content) == len(text)
    return _Reading(_value(number, tail), is_open=reaches_end and is_unfinished)


def _read_box(text: str, start: int) -> _Reading:
    r"""What stands in ``\boxed{...}``, whose opening brace ends at ``start``."""
    box = _BOX.match(text[start : start + _WINDOW])
    if box is None:
        return _Reading(None, is_open=start + _WINDOW >= len(text))
    content = box[1].replace("{,}", ",")
    rest = content[_end_of_lead(content) :]
    number = _match_number(rest)
    return _Reading(_value(number, rest[number.end() :]) if number else None)


def _end_of_lead(content: str) -> int:
    lead = _LEAD.match(content)
    return lead.end() if lead else 0


def _match_number(text: str) -> re.Match[str] | None:
    number = _NUMBER.match(text)
    has_digits = number and (number["top"] or number["whole"] or number["decimals"])
    return number if has_digits else None


def _value(number: re.Match[str], tail: str) -> Fraction | None:
    """The number itself, or None where it, or what follows it, is not legal."""
    under = number["bottom"] or number["under"] or "1"
    if not _is_harmless(tail) or len(number[0]) > _MAX_CHARACTERS or not int(under):
        return None
    whole = number["top"] or (number["whole"] or "0").replace(",", "")
    value = Fraction(f"{whole}.{number['decimals'] or '0'}") / int(under)
    return -value if number["sign"] == "-" else value


def _is_harmless(tail: str) -> bool:
    """Whether what follows a number leaves it that number: units and words, to the clause's end."""
    clause = _TYPOGRAPHY.sub("", _CLAUSE_END.split(tail, maxsplit=1)[0])
    return not _OTHER_NUMBER.match(clause) and all(map(_is_word_or_sign, clause))


def _is_word_or_sign(char: str) -> bool:
    return char.isalpha() or char in _SIGNS_IN_CLAUSE or unicodedata.category(char) == "Sc"


def _read_reference(reference: Mapping[str, Any]) -> str:
    given = read_reference(reference, "answer", grader="number", expected=_EXPECTED)
    value = None
    if isinstance(given, str | int | float):
        text = normalise(str(given)).strip()
        text = text[_end_of_lead(text) :].rstrip("%. ")
        number = _match_number(text)
        value = _value(number, "") if number and number.end() == len(text) else None
    if value is None:
        raise refuse_reference("answer", given, grader="number", expected=_EXPECTED)
    return write_number(value)

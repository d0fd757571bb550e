"""The built-in world's court cases, worked out from the words of a question alone.

What the offline user and judges know: the law book (resources/demo/cases.json) says in which words
a deed or a circumstance is told; how many months each counts stands in the question.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from sluice.errors import DataError
from sluice.files import read_json

_CASES = {
    "en": re.compile(r"Law: (?P<rules>[^\n]+)\.\nCase: (?P<facts>[^\n]+)"),
    "zh": re.compile(r"法条：(?P<rules>[^\n]+)。\n案情：(?P<facts>[^\n]+)"),
}
_RULE = re.compile(r"(?P<name>[^\d+-]+?) ?(?P<months>[+-]?\d+)")
_VERDICT = re.compile(r"^ *(?P<charge>[^|\n]+?) *\| *(?P<months>\d+)[ .。]*$", re.MULTILINE)


_InBoth = tuple[str, str]
"""The same in English and in Chinese."""


class _Charge(TypedDict):
    name: _InBoth
    deeds: list[_InBoth]


class _Factor(TypedDict):
    name: _InBoth
    fact: _InBoth


class _Book(TypedDict):
    charges: list[_Charge]
    factors: list[_Factor]


_BOOK = TypeAdapter(_Book)


@dataclass(frozen=True)
class Verdict:
    """A charge and a term, as ``charge | months``."""

    charge: str
    months: int

    def __str__(self) -> str:
        return f"{self.charge} | {self.months}"


@dataclass(frozen=True)
class Case:
    """A case as it was asked, and its right verdict."""

    language: str
    verdict: Verdict
    start: int
    """Where in the text the question begins."""


class Law:
    """Solves cases.

    Args:
        book: the content of cases.json: charges with deeds, factors with facts, in both languages.
    """

    def __init__(self, book: Mapping[str, Any]) -> None:
        self._deeds = {
            language: [
                (deed[index], charge["name"][index])
                for charge in book["charges"]
                for deed in charge["deeds"]
            ]
            for index, language in enumerate(_CASES)
        }
        self._facts = {
            language: [(each["fact"][index], each["name"][index]) for each in book["factors"]]
            for index, language in enumerate(_CASES)
        }

    def find_case(self, text: str) -> Case | None:
        """The last case that a text asks about; None where there is none that can be solved."""
        found = [
            (match.start(), language, match)
            for language, pattern in _CASES.items()
            for match in pattern.finditer(text)
        ]
        for start, language, match in sorted(found, key=lambda each: each[0], reverse=True):
            verdict = self._solve(match["rules"], match["facts"], language)
            if verdict:
                return Case(language, verdict, start)
        return None

    def find_last_case(self, texts: Sequence[str]) -> Case | None:
        """The case of the last text that asks about one."""
        cases = (self.find_case(text) for text in reversed(texts))
        return next((case for case in cases if case), None)

    def _solve(self, rules: str, facts: str, language: str) -> Verdict | None:
        months = {
            rule["name"].strip("，、, "): int(rule["months"]) for rule in _RULE.finditer(rules)
        }
        charges = [name for deed, name in self._deeds[language] if deed in facts and name in months]
        factors = [name for fact, name in self._facts[language] if fact in facts]
        if len(charges) != 1 or any(name not in months for name in factors):
            return None
        total = months[charges[0]] + sum(months[name] for name in factors)
        return Verdict(charges[0], total)


def read_law(path: Path) -> Law:
    """The law book of a file.

    Raises:
        DataError: it is missing, not JSON, or no law book.
    """
    try:
        return Law(_BOOK.validate_python(read_json(path)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path} is no law book: {place}: {first['msg']}") from None


def find_verdict(text: str) -> Verdict | None:
    """The last line of a text that is ``charge | months``."""
    found = list(_VERDICT.finditer(text))
    return Verdict(found[-1]["charge"].strip(), int(found[-1]["months"])) if found else None

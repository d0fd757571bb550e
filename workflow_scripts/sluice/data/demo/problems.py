"""What a problem of the built-in world is, and how it becomes text in either language."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sluice.errors import DataError

LANGUAGES = ("en", "zh")

Text = str | int | Sequence[str]
"""A value of a phrase: the same in both languages, or a pair (English, Chinese)."""

_SENTENCE_GAP = {"en": " ", "zh": ""}
_LIST_GAP = {"en": ", ", "zh": "、"}


@dataclass(frozen=True)
class Line:
    """One phrase of the phrase book with the values of its {fields}."""

    key: str
    values: Mapping[str, Any]
    """Name -> `Text`, or a `Line` that is rendered first."""


@dataclass(frozen=True)
class Solution:
    """An answer before it is put into words: steps of an explanation, and the final line."""

    steps: tuple[Line, ...]
    conclusion: Line


@dataclass(frozen=True)
class Problem:
    """A question with its right solution and one of the right form with wrong content.

    ``is_thought`` wraps the explanation in <think> tags.
    """

    kind: str
    question: Line
    solution: Solution
    wrong: Solution
    is_thought: bool = False


class World(Protocol):
    """Draws problems of one dataset."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of problems."""
        ...

    @property
    def phrases(self) -> "Phrases":
        """How they are put into words."""
        ...

    def draw(self, kind: str, rng: random.Random) -> Problem:
        """A problem of the kind."""
        ...


class Phrases:
    """The phrase book: key -> language -> variants of a text with {fields}."""

    def __init__(self, variants: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        self._variants = variants

    def render(self, line: Line, *, language: str, rng: random.Random | None = None) -> str:
        """The line's text; the first variant, or a random one where ``rng`` is given."""
        variants = self._variants[line.key][language]
        template = rng.choice(variants) if rng else variants[0]
        values = {
            name: self._value(value, language=language, rng=rng)
            for name, value in line.values.items()
        }
        return template.format(**values)

    def join(self, lines: Sequence[Line], *, language: str) -> str:
        """The lines as running text: a space between sentences in English, none in Chinese."""
        return _SENTENCE_GAP[language].join(self.render(line, language=language) for line in lines)

    def _value(self, value: Any, *, language: str, rng: random.Random | None) -> str:
        if isinstance(value, Line):
            return self.render(value, language=language, rng=rng)
        if isinstance(value, str | int):
            return str(value)
        return str(value[LANGUAGES.index(language)])


def joined(texts: Sequence[Sequence[str]]) -> tuple[str, str]:
    """Pairs -> one pair: the words of each language as a list."""
    english, chinese = (
        _LIST_GAP[language].join(text[index] for text in texts)
        for index, language in enumerate(LANGUAGES)
    )
    return english, chinese


def answer_parts(
    problem: Problem, solution: Solution, *, phrases: Phrases, language: str
) -> tuple[str, str]:
    """The explanation and the final line, such that the answer is one after the other."""
    explanation = phrases.join(solution.steps, language=language)
    conclusion = phrases.render(solution.conclusion, language=language)
    if problem.is_thought:
        return f"<think>{explanation}</think>", conclusion
    return explanation + "\n", conclusion


def read_resource(path: Path) -> Any:
    """Reads a word list.

    Raises:
        DataError: it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"the word list {path} cannot be read: {error}") from None

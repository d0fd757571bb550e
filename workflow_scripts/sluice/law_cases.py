"""Cases of the LawShift kind: a fact, the articles that apply, a charge and a prison term."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import DataError
from sluice.files import read_json


class CaseProblem(Exception):
    """Why a case cannot be used; ``reason`` is what a ledger counts."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class LawCase:
    """A case as a prompt and its reference."""

    prompt: str
    charge: str
    prison_time: int | str
    """Months, or XT: death or life imprisonment."""
    relevant_articles: tuple[str, ...]

    @property
    def reference(self) -> dict[str, Any]:
        """What a legal grader compares with."""
        return {
            "charge": self.charge,
            "prison_time": self.prison_time,
            "relevant_articles": list(self.relevant_articles),
        }


def read_articles(path: Path) -> dict[str, str]:
    """The statute's articles: number -> text.

    Raises:
        DataError: the file is missing, or no JSON object of texts.
    """
    articles = read_json(path)
    if not isinstance(articles, dict) or not all(map(is_storable, articles.values())):
        raise DataError(f"{path} is no object of article number -> text")
    return articles


def is_storable(text: object) -> bool:
    """Whether it is a text that UTF-8 can hold: half a surrogate pair, legal in JSON, is none."""
    return isinstance(text, str) and text == text.encode("utf-8", "replace").decode()


def read_law_case(row: Any, *, articles: Mapping[str, str], template: str) -> LawCase:
    """A row of ``fact``, ``relevant_articles``, ``charge`` and ``prison_time``.

    Args:
        row: the case.
        articles: article number -> text.
        template: with {articles} and {fact}.
    Raises:
        CaseProblem: a field is missing or of the wrong type, or an article is unknown.
    """
    if not isinstance(row, Mapping):
        raise CaseProblem("wrong_type", f"the case is {type(row).__name__}, not an object")
    found = _field(row, "relevant_articles", list, kind="a list")
    numbers = tuple(str(number) for number in found)
    unknown = [number for number in numbers if number not in articles]
    if unknown:
        raise CaseProblem("unknown_article", f"article {unknown[0]} is not in the articles file")
    months, charge = row.get("prison_time"), _field(row, "charge", str, kind="text")
    if isinstance(months, bool) or not (isinstance(months, int) or months == "XT"):
        raise CaseProblem("wrong_type", f"'prison_time' is {months!r}, neither months nor XT")
    text = template.replace("{articles}", "\n".join(articles[number] for number in numbers))
    fact = _field(row, "fact", str, kind="text")
    return LawCase(text.replace("{fact}", fact), charge, months, numbers)


def _field(row: Mapping[str, Any], name: str, type_: type, *, kind: str) -> Any:
    if name not in row:
        raise CaseProblem("missing_field", f"no '{name}'")
    if not isinstance(row[name], type_):
        raise CaseProblem("wrong_type", f"'{name}' is {type(row[name]).__name__}, not {kind}")
    return row[name]

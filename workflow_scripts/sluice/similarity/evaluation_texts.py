"""Questions of the evaluation sets, read from any JSONL or text file.

Only questions count: an answer alone gives no question away, and the facts that a model is to learn
stand in many answers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from sluice.errors import DataError
from sluice.records import iterate_lines
from sluice.similarity.text_forms import compact, facts, normalise

# Fields that hold what is asked. An object without any of them counts with all its text.
_QUESTION_FIELDS = (
    "question",
    "prompt",
    "instruction",
    "input",
    "query",
    "problem",
    "context",
    "passage",
    "fact",
    "text",
    "turns",
)
_OBJECT = TypeAdapter(dict[str, JsonValue])


@dataclass(frozen=True)
class Question:
    """One text of an evaluation set, in the compact form, and where it stands."""

    text: str
    facts: str
    where: str


def read_questions(paths: Sequence[Path]) -> list[Question]:
    """All questions of all files, in their order.

    ``.txt``: one text a line. Anything else: one JSON object a line, canonical samples included.

    Raises:
        DataError: a file is missing, or a line is not a JSON object.
    """
    questions = []
    for path in paths:
        for number, text in _texts(path):
            normalised = normalise(text)
            if normalised:
                where = f"line {number} of {path}"
                questions.append(Question(compact(normalised), facts(normalised), where))
    return questions


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    if not path.is_file():
        raise DataError(
            f"{path} does not exist",
            where="data.evaluation_texts",
            expected="JSONL or text files of evaluation sets",
        )
    for number, line in iterate_lines(path):
        if path.suffix == ".txt":
            yield number, line.decode("utf-8", "replace")
            continue
        try:
            entry = _OBJECT.validate_json(line)
        except ValidationError:
            raise DataError(
                f"line {number:,} is not a JSON object",
                where=str(path),
                expected="one object a line; plain text belongs in a .txt file",
            ) from None
        for text in _questions_of(entry):
            yield number, text


def _questions_of(entry: dict[str, Any]) -> list[str]:
    messages = entry.get("messages")
    if isinstance(messages, list):
        users = [message for message in messages if _is_of_user(message)]
        return [message["content"] for message in users]
    fields = [entry[name] for name in _QUESTION_FIELDS if entry.get(name)]
    return [text for value in fields or entry.values() for text in _strings(value)]


def _is_of_user(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") == "user"
        and isinstance(message.get("content"), str)
    )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)

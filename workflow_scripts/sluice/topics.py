"""Topics: what the simulated users want to talk about."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import DataError
from sluice.files import parse_json
from sluice.records import iterate_lines
from sluice.seeds import derive_seed

_EXPECTED = (
    '{"id" or "question_id", "topic" or "category", and optionally "language", '
    '"turns": [user messages], "reference": [right answers]}'
)


@dataclass(frozen=True)
class Topic:
    """One topic; from it comes one dialogue."""

    id: str
    topic: str
    category: str | None
    language: str | None
    """Language of the dialogue, such as en; None leaves it to the settings."""
    turns: tuple[str, ...]
    """What the user asks, in order; may be empty or end before the dialogue does."""
    references: tuple[str | None, ...]
    """The right answers to ``turns``, None where there is none."""

    @property
    def opening(self) -> str:
        """What a dialogue about it begins with: its first question, or the topic itself."""
        return self.turns[0] if self.turns else self.topic

    def reference_for(self, message: str) -> str | None:
        """The right answer to the last of the turns that the user's message contains."""
        asked = [
            ref for turn, ref in zip(self.turns, self.references, strict=True) if turn in message
        ]
        return asked[-1] if asked else None


def read_topics(paths: Sequence[Path]) -> list[Topic]:
    """The topics of JSONL files, in order. MT-Bench's question file is one.

    Raises:
        DataError: a file is missing, a line is no topic, or an id occurs twice.
    """
    topics: dict[str, Topic] = {}
    for path in paths:
        for number, line in iterate_lines(path):
            topic = _parse(line, where=f"{path}, line {number:,}")
            if topic.id in topics:
                raise DataError(f"the topic id '{topic.id}' occurs twice", where=str(path))
            topics[topic.id] = topic
    if not topics:
        raise DataError("there are no topics", where=", ".join(map(str, paths)), expected=_EXPECTED)
    return list(topics.values())


def choose_topics(
    topics: Sequence[Topic], *, number: int | None, seed: int, part: str
) -> list[Topic]:
    """So many of the topics, drawn by seed, part and id, in the order of the file; all for None."""
    if number is None or number >= len(topics):
        return list(topics)
    drawn = sorted(topics, key=lambda topic: derive_seed(seed, "choose_topics", part, topic.id))
    kept = {topic.id for topic in drawn[:number]}
    return [topic for topic in topics if topic.id in kept]


def shared_topics(train: Sequence[Topic], held_out: Sequence[Topic]) -> list[str]:
    """Held-out topics that may be learnt from, too: ids of those with the id or opening of one.

    Openings are compared without regard to case and white space.
    """
    ids = {topic.id for topic in train}
    openings = {_plain(topic.opening) for topic in train}
    return [topic.id for topic in held_out if topic.id in ids or _plain(topic.opening) in openings]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _parse(line: bytes, *, where: str) -> Topic:
    try:
        row = parse_json(line, what="the line")
        if not isinstance(row, dict):
            raise TypeError("not an object")
        turns = _texts(row.get("turns") or [], "turns")
        references = [
            ref or None for ref in _texts(row.get("reference") or [], "reference", may_lack=True)
        ]
        references += [None] * (len(turns) - len(references))
        topic = Topic(
            id=_name(row, "id", "question_id"),
            topic=_name(row, "topic", "category"),
            category=_text(row, "category"),
            language=_text(row, "language"),
            turns=tuple(turn for turn in turns if turn is not None),
            references=tuple(references[: len(turns)]),
        )
        # JSON can hold half a character, no file of dialogues can.
        texts = (topic.id, topic.topic, topic.category, topic.language, *topic.turns)
        "".join(filter(None, (*texts, *topic.references))).encode()
        return topic
    except (DataError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"the line is no topic: {str(error)[:200]}", where=where, expected=_EXPECTED
        ) from None


def _name(row: dict[str, Any], *keys: str) -> str:
    for key in keys:
        value = row.get(key)
        if isinstance(value, int | str) and not isinstance(value, bool) and str(value).strip():
            return str(value)
    raise KeyError(f"none of {', '.join(keys)} holds a text")


def _text(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    if not isinstance(value, str | None):
        raise TypeError(f"'{name}' is {type(value).__name__}, not a text")
    return value


def _texts(values: Any, name: str, *, may_lack: bool = False) -> list[str | None]:
    values = [values] if isinstance(values, str) else values
    if not isinstance(values, list):
        raise TypeError(f"'{name}' is {type(values).__name__}, not a list")
    for value in values:
        is_blank = value is None or (isinstance(value, str) and not value.strip())
        if (is_blank and not may_lack) or not isinstance(value, str | None):
            raise TypeError(
                f"'{name}' holds {type(value).__name__} or nothing where a text belongs"
            )
    return list(values)

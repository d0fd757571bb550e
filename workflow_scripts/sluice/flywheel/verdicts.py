"""What a judge is asked, and what its reply is worth: scores, or a named reason for none."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

VerdictStatus = Literal["scored", "unparsable", "out_of_range", "refused", "failed"]
STATUSES: tuple[VerdictStatus, ...] = (
    "scored",
    "unparsable",
    "out_of_range",
    "refused",
    "failed",
)
_LONGEST_REASON = 1000
# A reply of nothing but opening braces costs no more than this.
_MAX_BRACES = 100


@dataclass(frozen=True)
class Rubric:
    """What is scored, on which scale."""

    dimensions: tuple[str, ...]
    lowest: int
    highest: int

    def schema(self) -> dict[str, Any]:
        """The verdict as a strict JSON schema, for ``response_format``."""
        score = {"type": "integer", "minimum": self.lowest, "maximum": self.highest}
        properties = dict.fromkeys(self.dimensions, score) | {"reason": {"type": "string"}}
        return {
            "type": "json_schema",
            "json_schema": {
                "name": "verdict",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": properties,
                    "required": list(properties),
                    "additionalProperties": False,
                },
            },
        }

    def form(self) -> str:
        """The verdict's form in words, for servers without schemas."""
        scores = ", ".join(f'"{name}": {self.lowest} to {self.highest}' for name in self.dimensions)
        return f'{{{scores}, "reason": "..."}}'


@dataclass(frozen=True)
class Verdict:
    """A judge's verdict on one exchange; without status "scored" there are no scores."""

    status: VerdictStatus
    scores: dict[str, int] | None = None
    reason: str | None = None

    @property
    def mean(self) -> float | None:
        """Mean over the dimensions."""
        if self.scores is None:
            return None
        return round(sum(self.scores.values()) / len(self.scores), 4)


def judge_messages(
    prompt: str, exchanges: Sequence[Mapping[str, Any]], *, rubric: Rubric
) -> list[dict[str, str]]:
    """The messages that ask for a verdict on the last of some exchanges.

    The dialogue stands as JSON between two lines that hold a hash of it: no text in it can name its
    own hash, so none can seem to end it.

    Args:
        prompt: what judge_v1.txt says, with {fence}, {low} and {high}.
        exchanges: the dialogue so far, each with "user" and "assistant".
        rubric: dimensions and scale.
    """
    dialogue = [
        {"role": role, "content": each[role]}
        for each in exchanges
        for role in ("user", "assistant")
    ]
    material = json.dumps(dialogue, ensure_ascii=False, indent=0)
    fence = hashlib.sha256(material.encode()).hexdigest()[:16]
    system = prompt
    for name, value in (("fence", fence), ("low", rubric.lowest), ("high", rubric.highest)):
        system = system.replace(f"{{{name}}}", str(value))
    question = (
        f"<dialogue {fence}>\n{material}\n</dialogue {fence}>\n\n"
        f"Judge the last message of the dialogue. Reply with JSON alone: {rubric.form()}"
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def repair_messages(
    messages: Sequence[dict[str, str]], reply: str, *, rubric: Rubric
) -> list[dict[str, str]]:
    """The same question once more, after a reply that could not be read."""
    again = (
        "That was not one JSON object of the form asked for. Give the same verdict again as JSON "
        f"alone, without any other text: {rubric.form()}"
    )
    return [
        *messages,
        {"role": "assistant", "content": reply[:2000] or "(nothing)"},
        {"role": "user", "content": again},
    ]


def parse_verdict(text: str, *, rubric: Rubric) -> Verdict:
    """Reads a reply: one JSON object, alone, in a code fence or in the midst of other words.

    Where several objects could be verdicts, none of them counts: a judge that quotes one from the
    dialogue cannot be told from one that decides.
    """
    found = [each for each in _objects(text) if set(rubric.dimensions) <= set(each)]
    if len(found) != 1:
        return Verdict("unparsable", reason=_reason(text))
    values = {name: found[0][name] for name in rubric.dimensions}
    if any(
        isinstance(value, bool) or not isinstance(value, int | float) for value in values.values()
    ):
        return Verdict("unparsable", reason=_reason(text))
    reason = _reason(found[0].get("reason"))
    scale = range(rubric.lowest, rubric.highest + 1)
    if any(value not in scale for value in values.values()):  # 4.0 is in it, 4.5 and NaN are not
        return Verdict("out_of_range", reason=reason)
    return Verdict("scored", {name: int(value) for name, value in values.items()}, reason)


def _objects(text: str) -> list[dict[str, Any]]:
    """The outermost JSON objects in a text."""
    decoder = json.JSONDecoder()
    found, at = [], 0
    for _ in range(_MAX_BRACES):
        start = text.find("{", at)
        if start < 0:
            break
        try:
            value, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            at = start + 1
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _reason(value: Any) -> str | None:
    return value.strip()[:_LONGEST_REASON] if isinstance(value, str) and value.strip() else None

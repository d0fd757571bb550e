"""Two answers to one prompt, compared by a judge in both orders."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from sluice.flywheel.calibration import Pair, Winner
from sluice.flywheel.judging import Judge
from sluice.flywheel.messages import without_thoughts
from sluice.flywheel.verdicts import json_objects
from sluice.llm.client import RequestError
from sluice.seeds import derive_seed

_WINNERS: tuple[Winner, ...] = get_args(Winner)
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "comparison",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "winner": {"type": "string", "enum": list(_WINNERS)},
                "reason": {"type": "string"},
            },
            "required": ["winner", "reason"],
            "additionalProperties": False,
        },
    },
}
"""The form of a comparison, for ``response_format``."""


def compare_messages(
    prompt: str, question: str, *, first: str, second: str
) -> list[dict[str, str]]:
    """The messages that ask which of two answers to a user's message is better.

    The material stands as JSON between two lines that hold a hash of it, as for a verdict.

    Args:
        prompt: what compare_v1.txt says, with {fence}.
        question: the user's message.
        first: the answer that is shown first.
        second: the other one.
    """
    material = json.dumps(
        {
            "dialogue": [{"role": "user", "content": question}],
            "first": first,
            "second": second,
        },
        ensure_ascii=False,
        indent=0,
    )
    fence = hashlib.sha256(material.encode()).hexdigest()[:16]
    asked = (
        f"<answers {fence}>\n{material}\n</answers {fence}>\n\nWhich answer is better? JSON alone."
    )
    return [
        {"role": "system", "content": prompt.replace("{fence}", fence)},
        {"role": "user", "content": asked},
    ]


def parse_winner(text: str) -> Winner | None:
    """The winner in a reply; None where it names none, or several."""
    found = {each.get("winner") for each in json_objects(text) if each.get("winner") in _WINNERS}
    return cast(Winner, found.pop()) if len(found) == 1 else None


async def compare_pair(
    judge: Judge, prompt: str, *, dialogue: str, question: str, answers: tuple[str, str]
) -> Pair | None:
    """The winner in both orders; None where one of the two replies names none.

    Args:
        judge: who compares.
        prompt: what compare_v1.txt says.
        dialogue: its id.
        question: the user's message.
        answers: of the earlier turn and of the later one.
    Raises:
        EngineError: no request to this server can succeed, or the budget is spent.
    """
    earlier, later = answers
    seed = derive_seed(judge.seed, "compare", dialogue) >> 32
    winners = []
    for first, second in ((earlier, later), (later, earlier)):
        messages = compare_messages(prompt, question, first=first, second=second)
        try:
            reply = await judge.ask(messages, seed=seed, schema=SCHEMA)
        except RequestError:
            return None
        winner = None if reply.refusal else parse_winner(without_thoughts(reply.text))
        if winner is None:
            return None
        winners.append(winner)
    return Pair(dialogue, *winners)


def first_prompts(
    earlier: Sequence[Mapping[str, Any]], later: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, tuple[str, str]]]:
    """(dialogue id, opening, answers of both) where both turns were asked the same.

    Later messages of a user answer the model, so that only openings are the same prompt. Where both
    answers are equal there is nothing to compare.
    """
    before = {each["id"]: each["exchanges"][0] for each in earlier if each["exchanges"]}
    found = []
    for dialogue in later:
        mine = dialogue["exchanges"][0] if dialogue["exchanges"] else None
        other = before.get(dialogue["id"])
        if mine and other and mine["user"] == other["user"]:
            answers = (other["assistant"], mine["assistant"])
            if answers[0] != answers[1]:
                found.append((dialogue["id"], mine["user"], answers))
    return found

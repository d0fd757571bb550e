"""The model that plays the user: what it is asked, and what is wrong with what it says."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.flywheel.messages import END_MARK, without_thoughts
from sluice.llm.client import ChatClient
from sluice.seeds import derive_seed
from sluice.topics import Topic

REPEATS = "repeats_itself"
AS_ASSISTANT = "answers_as_assistant"
ENDS_EARLY = "ends_early"
SPECIAL_TOKENS = "writes_special_tokens"
PROBLEMS = (REPEATS, AS_ASSISTANT, ENDS_EARLY, SPECIAL_TOKENS)

_ATTEMPTS = 2
_NGRAM = 5
_SAME_JACCARD = 0.95
_COPIED_SHARE = 0.8
_SHORTEST_COPY = 40
_NOT_TEXT = re.compile(r"\W+")
_ASSISTANT_WORDS = re.compile(
    r"^\s*(?:assistant|助手|ai)\s*[:：]|\bas an ai\b|how (?:can|may) i (?:help|assist) you"
    r"|作为(?:一个|一名)?(?:ai|人工智能)|有什么可以帮(?:助)?您",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Turn:
    """The user's next message, None where there is none, and the problems on the way to it."""

    message: str | None
    problems: tuple[str, ...] = ()
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0


@dataclass(frozen=True)
class SimulatedUser:
    """Plays the user of a dialogue.

    A message with a problem is never sent: the model is asked once more, and the dialogue ends if
    that is no better.
    """

    client: ChatClient
    model: str
    prompt: str
    """What user_v1.txt says."""
    temperature: float
    max_tokens: int
    num_exchanges: int
    seed: int
    special_tokens: re.Pattern[str] | None = None
    """The text of the local model's special tokens. Its server would take them for such, so that a
    message could open a turn of its own."""

    async def next_message(
        self,
        topic: Topic,
        *,
        persona: str,
        language: str,
        exchanges: Sequence[Mapping[str, Any]],
    ) -> Turn:
        """What the user says next.

        Args:
            topic: what the dialogue is about.
            persona: who the user is.
            language: the user's.
            exchanges: so far, each with "user" and "assistant".
        Raises:
            RequestError: the model cannot be reached.
        """
        problems: list[str] = []
        num_prompt = num_completion = 0
        message: str | None = None
        for attempt in range(_ATTEMPTS):
            body = self._body(topic, persona, language, exchanges, attempt=attempt)
            reply = await self.client.ask(body)
            num_prompt += reply.num_prompt_tokens
            num_completion += reply.num_completion_tokens
            message = without_thoughts(reply.text)
            problem = find_problem(message, exchanges, special_tokens=self.special_tokens)
            if problem is None:
                break
            message = None
            problems.append(problem)
            if problem == ENDS_EARLY:
                break
        return Turn(message, tuple(problems), num_prompt, num_completion)

    def _body(
        self,
        topic: Topic,
        persona: str,
        language: str,
        exchanges: Sequence[Mapping[str, Any]],
        *,
        attempt: int,
    ) -> dict[str, Any]:
        dialogue = [
            {"role": role, "content": text}
            for each in exchanges
            for role, text in (
                ("user", each["user"]),
                ("assistant", without_thoughts(each["assistant"])),
            )
        ]
        task = {
            "topic": topic.topic,
            "questions": topic.turns,
            "persona": persona,
            "language": language,
            "exchange": len(exchanges) + 1,
            "exchanges": self.num_exchanges,
            "dialogue": dialogue,
        }
        return {
            "model": self.model,
            "messages": [
                {"role": "system", "content": self.prompt},
                {"role": "user", "content": json.dumps(task, ensure_ascii=False)},
            ],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": derive_seed(self.seed, "user", topic.id, len(exchanges), attempt) >> 32,
        }


def find_problem(
    message: str,
    exchanges: Sequence[Mapping[str, Any]],
    *,
    special_tokens: re.Pattern[str] | None = None,
) -> str | None:
    """What is wrong with a user's message: one of `PROBLEMS`, or None.

    It ends early: it is empty or the end mark. It repeats itself: 95 % of its character 5-grams are
    those of an earlier message of the user. It answers as assistant: it says so, or 80 % of its
    5-grams stand in the last answer. It writes special tokens: the pattern of these matches.
    """
    if not message or message.strip() == END_MARK:
        return ENDS_EARLY
    if special_tokens and special_tokens.search(message):
        return SPECIAL_TOKENS
    grams = _grams(message)
    for each in exchanges:
        earlier = _grams(each["user"])
        if len(grams & earlier) >= _SAME_JACCARD * len(grams | earlier):
            return REPEATS
    if _ASSISTANT_WORDS.search(message):
        return AS_ASSISTANT
    if exchanges and len(message) >= _SHORTEST_COPY:
        answer = _grams(without_thoughts(exchanges[-1]["assistant"]))
        if len(grams & answer) >= _COPIED_SHARE * len(grams):
            return AS_ASSISTANT
    return None


def _grams(text: str) -> frozenset[str]:
    plain = _NOT_TEXT.sub(" ", text.casefold()).strip()
    last = max(1, len(plain) - _NGRAM + 1)
    return frozenset(plain[start : start + _NGRAM] for start in range(last))

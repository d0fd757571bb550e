"""What an OpenAI-compatible server answered, checked before anything else sees it."""

from dataclasses import dataclass
from typing import Any, Literal

# Far more than any answer that was asked for; a server that sends more is broken.
_MAX_CHARACTERS = 1_000_000


class MalformedAnswerError(Exception):
    """A server's answer that is no completion, though its status says that all went well."""


@dataclass(frozen=True)
class Usage:
    """What a server bills for."""

    num_prompt_tokens: int
    num_completion_tokens: int


@dataclass(frozen=True)
class Reply:
    """One answer of a server."""

    text: str
    """Reasoning that the server sent apart stands in a think block in front."""
    num_prompt_tokens: int
    num_completion_tokens: int
    finish_reason: Literal["stop", "length"] = "stop"
    refusal: str | None = None
    """The words in which the model refused, where it did; ``text`` is then empty."""


def read_usage(answer: Any) -> Usage:
    """The tokens that a server bills for an answer, which need not be one that `read_reply` takes.

    What the server does not say, or says as no number, counts as 0.
    """
    usage = getattr(answer, "usage", None)
    return Usage(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def _count(usage: Any, name: str) -> int:
    try:
        return max(int(getattr(usage, name, 0) or 0), 0)
    except (OverflowError, TypeError, ValueError):
        return 0


def read_reply(answer: Any) -> Reply:
    """The reply in a server's answer.

    Raises:
        MalformedAnswerError: choices, text or token counts are missing or of the wrong type, a
            count is not finite or below 0, or the text is longer than a million characters.
    """
    try:
        choice = answer.choices[0]
        message, num_completion = choice.message, int(answer.usage.completion_tokens)
        num_prompt = int(getattr(answer.usage, "prompt_tokens", 0) or 0)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise MalformedAnswerError("the answer lacks choices, message or usage") from None
    if min(num_prompt, num_completion) < 0:
        raise MalformedAnswerError("the answer has fewer than no tokens")
    refusal = _read_refusal(choice, message)
    reason: Literal["stop", "length"] = "length" if choice.finish_reason == "length" else "stop"
    text = "" if refusal else _read_text(message)
    return Reply(text, num_prompt, num_completion, reason, refusal)


def _read_refusal(choice: Any, message: Any) -> str | None:
    said = getattr(message, "refusal", None)
    if isinstance(said, str) and said.strip():
        return _storable(said)
    return "content_filter" if choice.finish_reason == "content_filter" else None


def _read_text(message: Any) -> str:
    thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    content = getattr(message, "content", None)
    thought = thought if isinstance(thought, str) else None
    if not (isinstance(content, str) or (content is None and thought)):
        raise MalformedAnswerError("the answer holds no text")
    text = (f"<think>{thought}</think>" if thought else "") + (content or "")
    if len(text) > _MAX_CHARACTERS:
        raise MalformedAnswerError(f"the answer has {len(text):,} characters")
    return _storable(text)


def _storable(text: str) -> str:
    """Half a surrogate pair is legal JSON, but no file could hold it."""
    return text.encode("utf-8", "replace").decode()

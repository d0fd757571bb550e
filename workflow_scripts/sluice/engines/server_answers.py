"""What an OpenAI-compatible server answered, as a completion."""

from typing import Any, Literal

from sluice.engines.engine import Completion


class MalformedAnswerError(Exception):
    """A server's answer that is no completion, though its status says that all went well."""


def read_answer(answer: Any) -> Completion:
    """The completion in a server's answer, its reasoning in a think block in front.

    Raises:
        MalformedAnswerError: choices, text or token counts are missing.
    """
    try:
        choice = answer.choices[0]
        message, num_tokens = choice.message, int(answer.usage.completion_tokens)
    except (AttributeError, IndexError, TypeError, ValueError):
        raise MalformedAnswerError("the answer lacks choices, message or usage") from None
    thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    content = message.content
    if not isinstance(content, str) and not thought:
        raise MalformedAnswerError("the answer holds no text")
    text = (f"<think>{thought}</think>" if thought else "") + (content or "")
    reason: Literal["stop", "length"] = "length" if choice.finish_reason == "length" else "stop"
    # Half a surrogate pair is legal JSON, but no file could hold it.
    return Completion(text.encode("utf-8", "replace").decode(), num_tokens, reason)

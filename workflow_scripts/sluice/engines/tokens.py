"""Prompts to tokens, and written tokens to completions: the same for every local engine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sluice.chat import load_tokenizer
from sluice.chat_tokens import render, tokenize
from sluice.engines.engine import Completion, Request
from sluice.errors import EngineError


def find_tokenizer(model: str, *, revision: str | None, adapter: str | None) -> Any:
    """The adapter's own tokenizer where its folder holds one, else the model's.

    Raises:
        ModelError: no tokenizer is there, or it has no chat template.
    """
    if adapter and (Path(adapter) / "tokenizer_config.json").is_file():
        return load_tokenizer(adapter)
    return load_tokenizer(model, revision=revision)


def encode_prompts(tokenizer: Any, requests: Sequence[Request]) -> list[tuple[int, ...]]:
    """Tokens of every request's prompt, the opening of the assistant's turn included.

    Prompts that several requests share are encoded once.

    Raises:
        EngineError: a prompt has no token, so that nothing can be written after it.
    """
    unique = list(dict.fromkeys(request.messages for request in requests))
    if not unique:
        return []
    renderings = [
        render(tokenizer, [message.model_dump() for message in messages], opens_turn=True)
        for messages in unique
    ]
    encoded = [ids for ids, _ in tokenize(tokenizer, renderings)]
    tokens = {messages: tuple(ids) for messages, ids in zip(unique, encoded, strict=True)}
    num_empty = sum(not ids for ids in tokens.values())
    if num_empty:
        raise EngineError(
            f"{num_empty:,} of {len(unique):,} prompts have no token: the model has nothing to "
            "write after",
            hint="does the chat template write the messages, and does the tokenizer know their "
            "characters? show_mask.py shows both",
        )
    return [tokens[request.messages] for request in requests]


def to_completion(tokenizer: Any, ids: Sequence[int], *, has_ended: bool) -> Completion:
    """A completion of written tokens.

    Args:
        tokenizer: the model's.
        ids: what was written, the end-of-turn token included.
        has_ended: whether the last token is the end of the turn.
    """
    text = tokenizer.decode(
        list(ids[:-1] if has_ended else ids),
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    return Completion(text, len(ids), "stop" if has_ended else "length")

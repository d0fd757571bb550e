"""Rendered dialogues to tokens, so that no message's text can open or close a turn.

A chat template writes special tokens as text (``<|im_start|>``). The same text inside a message is
only text there: it becomes the tokens of its characters, never the special one. Tokens that are not
special, such as ``<think>``, stay what they are, wherever they stand.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.errors import ModelError

# A private-use character; no tokenizer is ever shown it.
_COVER = "\ue002"


@dataclass(frozen=True)
class Rendering:
    """A dialogue as its template writes it."""

    text: str
    neutral: str
    """The same, as long, with each special token's text inside a message covered."""


def render_text(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], *, opens_turn: bool = False
) -> str:
    """What the chat template writes, special tokens as text."""
    text: str = tokenizer.apply_chat_template(
        [dict(message) for message in messages], tokenize=False, add_generation_prompt=opens_turn
    )
    return text


def render(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], *, opens_turn: bool = False
) -> Rendering:
    """The template's text of a dialogue, with or without the opening of the assistant's turn.

    Raises:
        ModelError: the template changes the text of a message that holds a special token's, so that
            the two cannot be told apart.
    """
    text = render_text(tokenizer, messages, opens_turn=opens_turn)
    special = special_token_pattern(tokenizer)
    covered = [
        {**message, "content": special.sub(_cover, str(message["content"]))}
        if special
        else dict(message)
        for message in messages
    ]
    if all(new["content"] == old["content"] for new, old in zip(covered, messages, strict=True)):
        return Rendering(text, text)
    neutral = render_text(tokenizer, covered, opens_turn=opens_turn)
    if len(neutral) != len(text):
        raise ModelError(
            "the chat template changes a message that holds the text of a special token, so that "
            "the message cannot be kept from opening a turn",
            hint="remove that text from the data, or use a template that writes messages as is",
        )
    return Rendering(text, neutral)


def tokenize(
    tokenizer: Any, renderings: Sequence[Rendering]
) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Each rendering's token ids, and [start, end) of each token in its characters."""
    whole = [each for each in renderings if each.neutral == each.text]
    tokens = iter(_tokens_of(tokenizer, [each.text for each in whole]) if whole else [])
    return [
        next(tokens) if each.neutral == each.text else _tokens_in_pieces(tokenizer, each)
        for each in renderings
    ]


def special_token_pattern(tokenizer: Any) -> re.Pattern[str] | None:
    """Matches the text of every special token, the longest first; None where there is none."""
    texts = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    texts.discard("")
    return (
        re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True))))
        if texts
        else None
    )


def _cover(match: re.Match[str]) -> str:
    return _COVER * len(match[0])


def _tokens_of(
    tokenizer: Any, texts: Sequence[str], **options: Any
) -> list[tuple[list[int], list[tuple[int, int]]]]:
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        **options,
    )
    return list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))


def _tokens_in_pieces(
    tokenizer: Any, rendering: Rendering
) -> tuple[list[int], list[tuple[int, int]]]:
    """The template's own special tokens as such, everything between them as plain text."""
    special = special_token_pattern(tokenizer)
    assert special is not None
    own = list(special.finditer(rendering.neutral))
    starts = [0, *(match.end() for match in own)]
    ends = [*(match.start() for match in own), len(rendering.text)]
    pieces = [rendering.text[start:end] for start, end in zip(starts, ends, strict=True)]
    tokens = _tokens_of(tokenizer, pieces, split_special_tokens=True)
    ids: list[int] = []
    offsets: list[tuple[int, int]] = []
    for number, (start, (piece_ids, piece_offsets)) in enumerate(zip(starts, tokens, strict=True)):
        ids += piece_ids
        offsets += [(start + first, start + last) for first, last in piece_offsets]
        if number < len(own):
            ids.append(tokenizer.convert_tokens_to_ids(own[number][0]))
            offsets.append(own[number].span())
    return ids, offsets

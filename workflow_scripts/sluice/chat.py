"""Dialogues as tokens, and which of those tokens a model has to produce itself.

A response is the text of an assistant message and the end-of-turn token after it; everything that
the chat template writes around it, the opening of the assistant's turn included, is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.chat_tokens import Rendering, render, render_text, tokenize
from sluice.errors import ModelError
from sluice.hub import prepare_transformers
from sluice.loading import NO_REMOTE_CODE, loading
from sluice.records import Sample

# Two private-use characters mark a message's place; no tokenizer is ever shown them.
_OPEN, _CLOSE = "\ue000", "\ue001"


@dataclass(frozen=True)
class EncodedSample:
    """Tokens of one dialogue.

    ``is_response[t]`` says whether token t belongs to an assistant's message (its end-of-turn token
    included). Both lists are T long.
    """

    input_ids: list[int]
    is_response: list[bool]


def load_tokenizer(
    folder: Path | str, *, revision: str | None = None, needs_template: bool = True
) -> Any:
    """The tokenizer of a checkpoint folder or hub id.

    Raises:
        ModelError: no tokenizer is there, or it has no chat template where one is needed.
    """
    from transformers import AutoTokenizer

    prepare_transformers()
    what = f"no tokenizer could be loaded from {folder}"
    hint = "a folder needs tokenizer.json and tokenizer_config.json beside the weights"
    with loading(what, hint=hint):
        tokenizer = AutoTokenizer.from_pretrained(folder, revision=revision, **NO_REMOTE_CODE)
        # Where there are no files transformers makes one up that knows special tokens only.
        is_made_up = not tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys()
    if is_made_up:
        raise ModelError(f"{what}: there is none beside the weights", hint=hint)
    if needs_template and not tokenizer.chat_template:
        raise ModelError(
            f"the tokenizer of {folder} has no chat template",
            expected="chat_template.jinja, or 'chat_template' in tokenizer_config.json",
            hint="use the model's instruct variant, or copy its chat template into the folder",
        )
    return tokenizer


def encode_samples(
    tokenizer: Any, samples: Sequence[Sample], *, max_tokens: int | None = None
) -> list[EncodedSample]:
    """Dialogues -> tokens and response masks, each cut from the right to ``max_tokens``.

    The mask comes from where the template puts the assistant's text, so that any template works,
    with or without ``{% generation %}`` marks.

    Raises:
        ModelError: the template changes an assistant's text, so that it cannot be found again.
    """
    rendered = [render_with_spans(tokenizer, sample) for sample in samples]
    tokens = tokenize(tokenizer, [rendering for rendering, _ in rendered])
    return [
        EncodedSample(ids[:max_tokens], _mask(offsets, spans)[:max_tokens])
        for (ids, offsets), (_, spans) in zip(tokens, rendered, strict=True)
    ]


def render_with_spans(tokenizer: Any, sample: Sample) -> tuple[Rendering, list[tuple[int, int]]]:
    """The template's text of a dialogue, and [start, end) of each response in characters.

    The template is rendered a second time with each assistant's text replaced by a mark; what
    stands between the marks is the template's own. Where the template rewrites a text (Qwen3 does
    so with ``<think>``), its response begins where the generation prompt ends.
    """
    messages = [message.model_dump() for message in sample.messages]
    replies = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    rendering = render(tokenizer, messages)
    marked = render_text(tokenizer, [_marked(message, i) for i, message in enumerate(messages)])
    spans = _spans_between_marks(
        tokenizer, sample, text=rendering.text, marked=marked, replies=replies
    )
    if spans is None:
        spans = [
            _span_after_prompt(tokenizer, sample, rendering=rendering, index=index)
            for index in replies
        ]
    return rendering, spans


def _marked(message: dict[str, Any], index: int) -> dict[str, Any]:
    if message["role"] != "assistant":
        return message
    return {"role": "assistant", "content": f"{_OPEN}{index}{_CLOSE}"}


def _spans_between_marks(
    tokenizer: Any, sample: Sample, *, text: str, marked: str, replies: list[int]
) -> list[tuple[int, int]] | None:
    """The responses' places, or None where the template does not write them as they are."""
    spans: list[tuple[int, int]] = []
    rebuilt = ""
    for index in replies:
        before, found, marked = marked.partition(f"{_OPEN}{index}{_CLOSE}")
        rebuilt += before
        content = _as_rendered(sample.messages[index].content, text=text, start=len(rebuilt))
        if not found or content is None:
            return None
        start = len(rebuilt)
        rebuilt += content
        spans.append((start, len(rebuilt) + len(_end_of_turn(tokenizer, marked))))
    return spans if rebuilt + marked == text else None


def _span_after_prompt(
    tokenizer: Any, sample: Sample, *, rendering: Rendering, index: int
) -> tuple[int, int]:
    messages = [message.model_dump() for message in sample.messages[:index]]
    prompt = render_text(tokenizer, messages, opens_turn=True) if messages else ""
    text = rendering.text
    end_of_turn = tokenizer.eos_token or ""
    # A turn ends at the template's own end of turn, not where a text holds the same words.
    end = rendering.neutral.find(end_of_turn, len(prompt))
    if not prompt or not text.startswith(prompt) or not end_of_turn or end < 0:
        raise ModelError(
            f"the chat template changes message {index} of sample '{sample.id}', so its response "
            "tokens cannot be found",
            hint="use a chat template that writes assistant messages as they are",
        )
    return len(prompt), end + len(end_of_turn)


def _as_rendered(content: str, *, text: str, start: int) -> str | None:
    """The assistant's text as the template wrote it at ``start``: whole, or stripped."""
    candidates = (content, content.strip(), content.lstrip("\n"))
    return next((each for each in candidates if text.startswith(each, start)), None)


def _end_of_turn(tokenizer: Any, after: str) -> str:
    known = (tokenizer.eos_token, "<|im_end|>", "<|eot_id|>")
    return next((token for token in known if token and after.startswith(token)), "")


def _mask(offsets: list[tuple[int, int]], spans: list[tuple[int, int]]) -> list[bool]:
    mask = [False] * len(offsets)
    token = 0
    for start, end in spans:
        while token < len(offsets) and offsets[token][1] <= start:
            token += 1
        while token < len(offsets) and offsets[token][0] < end:
            mask[token] = True
            token += 1
    return mask


def response_opening(tokenizer: Any) -> list[int]:
    """The tokens with which the template opens an assistant's turn; never empty.

    For ChatML these are ``<|im_start|>assistant`` and a newline. A response that is scored without
    its prompt stands behind them.
    """
    question = [{"role": "user", "content": "?"}]
    closed = render_text(tokenizer, question)
    opened = render_text(tokenizer, question, opens_turn=True)
    opening = opened[len(closed) :] if opened.startswith(closed) else ""
    ids: list[int] = tokenizer(opening, add_special_tokens=False)["input_ids"]
    if ids:
        return ids
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [first]

"""Key tokens: what each token of a response counts in its sample's loss."""

import re
from collections.abc import Sequence
from typing import Any

from sluice.chat import EncodedSample, render_with_spans
from sluice.chat_tokens import tokenize
from sluice.errors import ConfigError
from sluice.records import Sample
from sluice.settings.training import TrainingData

_REGEX_MARK = "re:"


def compile_focus(focus: Sequence[str]) -> list[re.Pattern[str]]:
    """Phrases, taken as they are, and regular expressions, which begin with ``re:``.

    Raises:
        ConfigError: an expression is illegal or matches nothing at all but the empty text.
    """
    return [_compile(each) for each in focus]


def _compile(phrase: str) -> re.Pattern[str]:
    is_regex = phrase.startswith(_REGEX_MARK)
    try:
        pattern = re.compile(phrase.removeprefix(_REGEX_MARK) if is_regex else re.escape(phrase))
    except re.error as error:
        raise ConfigError(
            f"'focus' holds {phrase!r}, which is no regular expression: {error}",
            hint="without 're:' the phrase is searched for as it is",
        ) from None
    if pattern.fullmatch(""):
        raise ConfigError(
            f"'focus' holds {phrase!r}, which matches the empty text",
            expected="a phrase, or 're:' and an expression that matches at least one character",
        )
    return pattern


def weigh_tokens(
    tokenizer: Any,
    samples: Sequence[Sample],
    encoded: Sequence[EncodedSample],
    *,
    settings: TrainingData,
) -> list[list[float]]:
    """What each token counts: 0 outside responses, 1 inside, ``focus_weight`` in and near a phrase.

    A token belongs to a phrase where it shares a character with it. The window is counted in
    tokens, and ends where the response does. The first token of a row has nothing before it to be
    predicted from, so it counts nothing.
    """
    weights = [[float(flag) for flag in each.is_response] for each in encoded]
    patterns = compile_focus(settings.focus)
    if patterns:
        for row, sample in zip(weights, samples, strict=True):
            near = _near_phrases(tokenizer, sample, patterns, window=settings.context_window)
            for index in near:
                row[index] *= settings.focus_weight
    for row in weights:
        row[:1] = [0.0] * len(row[:1])
    return weights


def _near_phrases(
    tokenizer: Any, sample: Sample, patterns: Sequence[re.Pattern[str]], *, window: int
) -> set[int]:
    """Indices of the tokens in and around every phrase of the sample's responses."""
    rendering, spans = render_with_spans(tokenizer, sample)
    ((_, offsets),) = tokenize(tokenizer, [rendering])
    near: set[int] = set()
    for start, end in spans:
        inside = [t for t, (first, last) in enumerate(offsets) if first < end and last > start]
        for pattern in patterns:
            for found in pattern.finditer(rendering.text, start, end):
                left, right = found.span()
                hit = [t for t in inside if offsets[t][0] < right and offsets[t][1] > left]
                if hit:
                    around = range(hit[0] - window, hit[-1] + window + 1)
                    near.update(set(around) & set(inside))
    return near

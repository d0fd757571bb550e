"""Key tokens: what each token of a response counts in its sample's loss."""

import re
from collections.abc import Sequence
from typing import Any

from sluice.chat import EncodedSample, render_with_spans
from sluice.chat_tokens import tokenize
from sluice.focus_patterns import compile_focus
from sluice.records import Sample
from sluice.settings.training import TrainingData


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

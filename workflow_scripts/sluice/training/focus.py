"""Key tokens: what each token of a response counts in its sample's loss."""

import re
from collections.abc import Sequence
from itertools import compress
from typing import Any

from sluice.chat import EncodedSample, render_with_spans
from sluice.chat_tokens import tokenize
from sluice.focus_patterns import compile_focus
from sluice.logs import get_logger
from sluice.records import Sample
from sluice.settings.training import TrainingData

logger = get_logger(__name__)


class FocusCounts:
    """In how many samples key tokens are learnt from, and each phrase's own."""

    def __init__(self, focus: Sequence[str]) -> None:
        self.by_phrase = dict.fromkeys(focus, 0)
        self.num_with_any = 0
        self.num_samples = 0

    def add(self, phrases: Sequence[str]) -> None:
        """Counts a sample with these phrases."""
        self.num_samples += 1
        self.num_with_any += bool(phrases)
        for phrase in set(phrases):
            self.by_phrase[phrase] += 1

    def log(self) -> None:
        """Says what was found, and warns of each phrase that never was."""
        if not self.by_phrase:
            return
        logger.info("key tokens in %d of %d samples", self.num_with_any, self.num_samples)
        for phrase in [phrase for phrase, count in self.by_phrase.items() if not count]:
            logger.warning(
                "'focus' holds %r, which is in none of the %d samples' responses",
                phrase,
                self.num_samples,
            )


def weigh_tokens(
    tokenizer: Any,
    samples: Sequence[Sample],
    encoded: Sequence[EncodedSample],
    *,
    settings: TrainingData,
    counts: FocusCounts,
) -> list[list[float]]:
    """What each token counts: 0 outside responses, 1 inside, ``focus_weight`` in and near a phrase.

    A token belongs to a phrase where it shares a character with it. The window is counted in
    tokens, and ends where the response does. The first token of a row has nothing before it to be
    predicted from, so it counts nothing. ``counts`` are told which phrases are learnt from: in a
    response that is trained on, before the cut.
    """
    weights = [[float(flag) for flag in each.is_response] for each in encoded]
    patterns = compile_focus(settings.focus)
    if patterns:
        for row, sample in zip(weights, samples, strict=True):
            near = _near_phrases(tokenizer, sample, patterns, window=settings.context_window)
            learnt = [any(row[t] for t in each if t < settings.max_length) for each in near]
            counts.add(list(compress(settings.focus, learnt)))
            for index in set().union(*near):
                row[index] *= settings.focus_weight
    for row in weights:
        row[:1] = [0.0] * len(row[:1])
    return weights


def _near_phrases(
    tokenizer: Any, sample: Sample, patterns: Sequence[re.Pattern[str]], *, window: int
) -> list[set[int]]:
    """For each phrase the indices of the tokens in and around it in the sample's responses."""
    rendering, spans = render_with_spans(tokenizer, sample)
    ((_, offsets),) = tokenize(tokenizer, [rendering])
    near: list[set[int]] = [set() for _ in patterns]
    for start, end in spans:
        inside = [t for t, (first, last) in enumerate(offsets) if first < end and last > start]
        for pattern, indices in zip(patterns, near, strict=True):
            for found in pattern.finditer(rendering.text, start, end):
                left, right = found.span()
                hit = [t for t in inside if offsets[t][0] < right and offsets[t][1] > left]
                if hit:
                    around = range(hit[0] - window, hit[-1] + window + 1)
                    indices.update(set(around) & set(inside))
    return near

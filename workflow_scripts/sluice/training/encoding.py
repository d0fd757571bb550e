"""Canonical samples -> what the trainer learns from, with a reason for every one left out."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from sluice.chat import EncodedSample, encode_samples
from sluice.errors import DataError, TrainingError, shorten_ids
from sluice.ledger import Ledger
from sluice.logs import get_logger
from sluice.records import Sample, read_samples
from sluice.settings.training import TrainingData
from sluice.training.batching import TrainingSample
from sluice.training.focus import FocusCounts, weigh_tokens

logger = get_logger(__name__)

_CHUNK = 1000


def load_training_samples(
    tokenizer: Any, paths: Sequence[Path], *, settings: TrainingData, ledger: Ledger
) -> list[TrainingSample]:
    """Reads and encodes the samples of all files, sorted by id, so that their order is nothing.

    Rejected, by reason: ``no_supervised_token`` (no response, or none before the cut) and, where
    the settings say so, ``too_long``.

    Raises:
        DataError: a file cannot be read, or an id stands in it twice.
        TrainingError: no sample is left.
    """
    kept: list[TrainingSample] = []
    num_cut = 0
    counts = FocusCounts(settings.focus)
    rows = _read_all(paths)
    while chunk := list(islice(rows, _CHUNK)):
        ledger.read(len(chunk))
        for sample, encoded, is_cut in encode_for_training(
            tokenizer, chunk, settings=settings, counts=counts
        ):
            if is_cut and settings.on_too_long == "reject":
                _reject(ledger, "too_long", sample, f"over {settings.max_length:,} tokens")
            elif not encoded.num_targets:
                _reject(ledger, "no_supervised_token", sample, _why_unsupervised(sample, is_cut))
            else:
                num_cut += is_cut
                kept.append(encoded)
                ledger.keep()
    logger.info("%s; %d cut to %d tokens", ledger.summary(), num_cut, settings.max_length)
    counts.log()
    if not kept:
        raise TrainingError(
            f"no sample is left to learn from ({ledger.reasons() or 'the files are empty'})",
            where=", ".join(str(path) for path in paths),
            expected="at least one sample with an assistant message",
            hint=None if ledger.rows_in else _where_reasons_are(paths),
        )
    _check_ids(kept, paths)
    return sorted(kept, key=lambda sample: sample.id)


def _where_reasons_are(paths: Sequence[Path]) -> str | None:
    """Where sample_responses says why it kept nothing, if it made one of the empty files."""
    beside = [path.parent / "sampling_stats.json" for path in paths]
    found = ", ".join(str(path) for path in beside if path.is_file())
    return f"why no completion was kept is counted under 'rejected' in {found}" if found else None


def _read_all(paths: Sequence[Path]) -> Iterator[Sample]:
    for path in paths:
        yield from read_samples(path)


def encode_for_training(
    tokenizer: Any, samples: Sequence[Sample], *, settings: TrainingData, counts: FocusCounts
) -> Iterator[tuple[Sample, TrainingSample, bool]]:
    """Yields (sample, its tokens, whether it was cut), and counts where key phrases are."""
    encoded = encode_samples(tokenizer, samples)
    if settings.learn_from == "last":
        encoded = [only_last_response(each) for each in encoded]
    weights = weigh_tokens(tokenizer, samples, encoded, settings=settings, counts=counts)
    limit = settings.max_length
    for sample, tokens, token_weights in zip(samples, encoded, weights, strict=True):
        weight = sample.weight if settings.use_weights and sample.weight is not None else 1.0
        training_sample = TrainingSample(
            id=sample.id,
            input_ids=tuple(tokens.input_ids[:limit]),
            token_weights=tuple(token_weights[:limit]),
            weight=weight,
            group=sample.group,
            prompt=prompt_key(sample),
        )
        yield sample, training_sample, len(tokens.input_ids) > limit


def only_last_response(encoded: EncodedSample) -> EncodedSample:
    """The same tokens, with the last run of response tokens alone marked as response.

    The chat template opens each turn, so that two responses never touch.
    """
    end = next((t for t in reversed(range(len(encoded.is_response))) if encoded.is_response[t]), -1)
    start = end
    while start > 0 and encoded.is_response[start - 1]:
        start -= 1
    is_last = [start <= t <= end for t in range(len(encoded.is_response))]
    return EncodedSample(encoded.input_ids, is_last if end >= 0 else encoded.is_response)


def prompt_key(sample: Sample) -> str:
    """What stands before the first response, as text that is equal for equal prompts."""
    prompt = []
    for message in sample.messages:
        if message.role == "assistant":
            break
        prompt.append([message.role, message.content])
    return json.dumps(prompt, ensure_ascii=False)


def _reject(ledger: Ledger, reason: str, sample: Sample, detail: str) -> None:
    row = sample.model_dump(mode="json", exclude_none=True)
    ledger.reject(reason, row=row, where=sample.id, detail=detail)


def _why_unsupervised(sample: Sample, is_cut: bool) -> str:
    if all(message.role != "assistant" for message in sample.messages):
        return "no assistant message"
    return "its responses begin after the cut" if is_cut else "its responses have no token"


def _check_ids(samples: Sequence[TrainingSample], paths: Sequence[Path]) -> None:
    counts = Counter(sample.id for sample in samples)
    doubled = [sample_id for sample_id, count in counts.items() if count > 1]
    if doubled:
        raise DataError(
            f"{len(doubled):,} ids stand twice ({shorten_ids(doubled)})",
            where=", ".join(str(path) for path in paths),
            expected="ids that are unique over all files",
            hint="was one file given twice?",
        )

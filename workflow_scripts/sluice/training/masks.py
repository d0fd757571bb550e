"""What a model is trained on, for people to look at."""

from collections.abc import Sequence
from typing import Any

from sluice.records import Sample
from sluice.settings.training import TrainingData
from sluice.training.encoding import encode_for_training
from sluice.training.focus import FocusCounts

_GREEN, _BOLD, _DIM, _PLAIN = "\033[32m", "\033[1;32m", "\033[2m", "\033[0m"
_STYLES = {"given": _DIM, "trained": _GREEN, "key": _BOLD}
_MARKS = {"given": ("", ""), "trained": ("[[", "]]"), "key": ("[[*", "*]]")}


def show_mask(
    tokenizer: Any, samples: Sequence[Sample], *, settings: TrainingData, is_coloured: bool
) -> str:
    """The samples' text, with what is trained on in green and key tokens in bold green.

    Without colour, trained text stands in ``[[ ]]`` and key tokens in ``[[* *]]``. What the cut at
    ``max_length`` takes away is not shown.
    """
    blocks = []
    counts = FocusCounts(settings.focus)
    for sample, encoded, is_cut in encode_for_training(
        tokenizer, samples, settings=settings, counts=counts
    ):
        kinds = [_kind(weight) for weight in encoded.token_weights]
        head = f"--- {sample.id}: {encoded.num_targets} of {len(kinds)} tokens are trained on"
        if is_cut:
            head += f", cut at {settings.max_length}"
        text = _paint(tokenizer, encoded.input_ids, kinds, is_coloured=is_coloured)
        blocks.append(f"{head}\n{text}\n")
    counts.log()
    return "\n".join(blocks)


def _kind(weight: float) -> str:
    if weight == 0:
        return "given"
    return "trained" if weight == 1 else "key"


def _paint(
    tokenizer: Any, input_ids: Sequence[int], kinds: Sequence[str], *, is_coloured: bool
) -> str:
    """Runs of tokens of one kind, decoded together: a character may be several tokens."""
    parts = []
    start = 0
    for end in range(1, len(kinds) + 1):
        if end < len(kinds) and kinds[end] == kinds[start]:
            continue
        text = tokenizer.decode(list(input_ids[start:end]), skip_special_tokens=False)
        kind = kinds[start]
        opening, closing = (_STYLES[kind], _PLAIN) if is_coloured else _MARKS[kind]
        parts.append(f"{opening}{text}{closing}")
        start = end
    return "".join(parts)

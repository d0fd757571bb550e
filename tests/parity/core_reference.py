"""CORE's decisions, written plainly from the metric's description, to compare with.

One item a forward pass, its options padded on the right, whole sequences, logits of all positions,
no cache. Nothing of `sluice` is used. Works on the raw objects of the data files.
"""

import math
import random
from typing import Any

import torch
from torch.nn.functional import cross_entropy


def load_shuffled(raw_items: list[dict[str, Any]], *, limit: int | None) -> list[dict[str, Any]]:
    shuffled = list(raw_items)
    random.Random(1337).shuffle(shuffled)
    return shuffled if limit is None else shuffled[:limit]


def draw_examples(data: list[dict[str, Any]], index: int, count: int) -> list[dict[str, Any]]:
    if count == 0:
        return []
    rest = list(range(len(data)))
    rest.remove(index)
    return [data[other] for other in random.Random(1234 + index).sample(rest, count)]


def make_prompts(
    kind: str, item: dict[str, Any], examples: list[dict[str, Any]], delimiter: str
) -> list[str]:
    text = ""
    if kind == "multiple_choice":
        for each in examples:
            text += each["query"] + delimiter + each["choices"][each["gold"]] + "\n\n"
        return [text + item["query"] + delimiter + choice for choice in item["choices"]]
    if kind == "schema":
        for each in examples:
            text += (
                each["context_options"][each["gold"]] + delimiter + each["continuation"] + "\n\n"
            )
        return [
            text + context + delimiter + item["continuation"] for context in item["context_options"]
        ]
    for each in examples:
        text += each["context"].strip() + delimiter + each["continuation"] + "\n\n"
    text += item["context"].strip() + delimiter
    return [text.strip(), text + item["continuation"]]


def find_spans(kind: str, sequences: list[list[int]]) -> tuple[list[list[int]], list[int]]:
    """The sequences to run and where the scored tokens of each begin; they end with it."""
    if kind == "language_modeling":
        bare, full = sequences
        assert full[: len(bare)] == bare, "the bare prompt must be a token prefix"
        return [full], [len(bare)]
    shortest = min(len(sequence) for sequence in sequences)
    common = 0
    if kind == "multiple_choice":
        while common < shortest and len({sequence[common] for sequence in sequences}) == 1:
            common += 1
        return sequences, [common] * len(sequences)
    while common < shortest and len({sequence[-1 - common] for sequence in sequences}) == 1:
        common += 1
    return sequences, [len(sequence) - common for sequence in sequences]


@torch.no_grad()
def run_item(
    model: Any, sequences: list[list[int]], starts: list[int], max_tokens: int
) -> tuple[list[float], list[bool]]:
    """Mean loss of each sequence's scored tokens, and whether all of them are the argmax."""
    cropped = [sequence[-max_tokens:] for sequence in sequences]
    starts = [
        start - (len(whole) - len(part))
        for start, whole, part in zip(starts, sequences, cropped, strict=True)
    ]
    width = max(len(sequence) for sequence in cropped)
    ids = torch.tensor([sequence + [0] * (width - len(sequence)) for sequence in cropped])
    logits = model(input_ids=ids, use_cache=False).logits.float()
    losses, greedy = [], []
    for row, (sequence, start) in enumerate(zip(cropped, starts, strict=True)):
        first = max(start, 1)  # without a BOS nothing predicts the first token
        predicted = logits[row, first - 1 : len(sequence) - 1]
        actual = ids[row, first : len(sequence)]
        losses.append(cross_entropy(predicted, actual, reduction="none").mean().item())
        greedy.append(bool((predicted.argmax(-1) == actual).all()))
    return losses, greedy


def decide_item(
    model: Any,
    tokenizer: Any,
    data: list[dict[str, Any]],
    index: int,
    *,
    kind: str,
    num_shots: int,
    delimiter: str,
    max_tokens: int,
    pool: list[dict[str, Any]] | None = None,
) -> tuple[bool, int | None, list[float]]:
    """Whether the item is right, the option chosen, and the options' mean losses."""
    examples = draw_examples(data if pool is None else pool, index, num_shots)
    prompts = make_prompts(kind, data[index], examples, delimiter)
    opening = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    sequences = [
        opening + tokenizer(text, add_special_tokens=False)["input_ids"] for text in prompts
    ]
    sequences, starts = find_spans(kind, sequences)
    losses, greedy = run_item(model, sequences, starts, max_tokens)
    if kind == "language_modeling":
        return greedy[0], None, losses
    # Python's min and index on NaN: what an empty mean gives wins only where it comes first.
    chosen = losses.index(min(losses)) if not math.isnan(losses[0]) else 0
    return chosen == data[index]["gold"], chosen, losses

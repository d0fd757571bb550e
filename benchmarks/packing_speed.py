"""Tokens a second of training on packed rows and on the same documents padded, side by side.

    python benchmarks/packing_speed.py data/c4.jsonl results/tokenizer/base

The model is of the built-in shape. The padded side sees the first 256 tokens of each document, the
packed side rows of 256 tokens; the loss is on every token. Both do whole optimiser steps, turn by
turn, so that a loaded machine slows both. Prints a Markdown table: target tokens a CPU second, and
the share of places that hold a token.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "workflow_scripts"))

from sluice.base.building import load_corpus
from sluice.base.modeling import make_model
from sluice.base.steps import SampleSteps, Steps
from sluice.base.tokenizing import tokenize_corpus
from sluice.base.training import Trainer, make_accelerator
from sluice.chat import EncodedSample, load_tokenizer
from sluice.settings.base_model import TokenizeCorpus, TrainBaseModel
from sluice.texts import read_documents

SETTINGS = TrainBaseModel(sequence_length=256, batch_size=16, num_steps=12, eval_tokens=1)
ROUNDS, STEPS_PER_ROUND = 3, 4


def packed_steps(text: Path, tokenizer_folder: Path, folder: Path) -> Steps:
    """Packed rows of the text."""
    tokenize_corpus(
        TokenizeCorpus(heldout_share=0.0),
        text=[text],
        heldout_text=[],
        tokenizer_folder=tokenizer_folder,
        output=folder / "corpus",
        state_root=folder / "state",
    )
    return load_corpus(folder / "corpus", load_tokenizer(tokenizer_folder), SETTINGS).steps


def padded_steps(text: Path, tokenizer_folder: Path) -> SampleSteps:
    """The first 256 tokens of each document as a sample whose every token is a target."""
    tokenizer = load_tokenizer(tokenizer_folder)
    encoded = [
        tokenizer(document.text, add_special_tokens=False)["input_ids"][: SETTINGS.sequence_length]
        for document in read_documents([text])
    ]
    samples = [EncodedSample(ids, [True] * len(ids)) for ids in encoded]
    return SampleSteps(samples, SETTINGS, pad_token_id=tokenizer.pad_token_id)


def share_of_tokens(steps: Steps) -> float:
    """Tokens over places, padding included, of all steps."""
    places = sum(
        ids.numel()
        for step in range(SETTINGS.num_steps)
        for ids, _ in steps.passes(step, process=0, num_processes=1)
    )
    return sum(map(steps.num_targets, range(SETTINGS.num_steps))) / places


def main(text: Path, tokenizer_folder: Path) -> None:
    """Takes turns and prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        sides: dict[str, Steps] = {
            "padded": padded_steps(text, tokenizer_folder),
            "packed": packed_steps(text, tokenizer_folder, Path(folder)),
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        accelerator = make_accelerator()
        tokenizer = load_tokenizer(tokenizer_folder)
        trainers = {
            name: Trainer(make_model(tokenizer, SETTINGS), SETTINGS, accelerator) for name in sides
        }
        for turn in range(ROUNDS):
            for name, steps in sides.items():
                numbers = range(turn * STEPS_PER_ROUND, (turn + 1) * STEPS_PER_ROUND)
                began = time.process_time()
                for number in numbers:
                    trainers[name].take_step(steps, number, share=1.0)
                seconds = time.process_time() - began
                rates[name].append(sum(map(steps.num_targets, numbers)) / seconds)
        print("| rows | target tokens a CPU second | places that hold one |\n|---|---|---|")
        for name, steps in sides.items():
            share = share_of_tokens(steps)
            print(f"| {name} | {statistics.median(rates[name]):,.0f} | {share:.0%} |")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

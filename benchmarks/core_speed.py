"""CORE: ours against one item a forward pass, side by side on one model, with equal decisions.

    python benchmarks/core_speed.py ../shared/data/core [--layers 6] [--items 24]

Needs an evaluation bundle. Trains a tokenizer of 32,768 tokens on the bundle's own text, and takes
a random Qwen3 of 6 layers and width 384, the shape of a small nanochat model: speed does not depend
on what the weights have learned. The other side is tests/parity/core_reference.py, which runs the
options of one item as one padded batch and makes all logits, as nanochat does. Both begin with the
same text and take turns, task by task. Prints a Markdown table; CPU seconds are of the process, so
that other work on the machine counts little.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "tests")]

import torch
from parity.core_reference import decide_item, load_shuffled
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from sluice.core_metric.bundle import Task, read_tasks
from sluice.core_metric.evaluation import evaluate
from sluice.settings.core_metric import EvaluateCore

TASKS = (
    "arc_easy",
    "commonsense_qa",
    "piqa",
    "boolq",
    "bigbench_language_identification",
    "jeopardy",
    "bigbench_cs_algorithms",
)
VOCABULARY = 32768
MAX_TOKENS = 2048


class Seconds(NamedTuple):
    """What something took."""

    wall: float
    cpu: float


class Clock:
    """Measures from when it is made."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def read(self) -> Seconds:
        """Seconds since then."""
        wall, cpu = self._start
        return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def train_tokenizer(bundle: Path) -> PreTrainedTokenizerFast:
    """A byte-level BPE of the bundle's text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|bos|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    files = sorted(str(path) for path in (bundle / "eval_data").rglob("*.jsonl"))
    tokenizer.train(files, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|bos|>")


def make_model(*, num_layers: int, hidden_size: int) -> torch.nn.Module:
    """A random Qwen3 with enough spread in its weights that losses differ."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "qwen3",
        vocab_size=VOCABULARY,
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=hidden_size // 64,
        num_key_value_heads=hidden_size // 64,
        head_dim=64,
        max_position_embeddings=MAX_TOKENS,
        initializer_range=0.05,
        tie_word_embeddings=False,
    )
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def run_ours(model: object, tokenizer: object, task: Task, num_items: int) -> tuple[list, Seconds]:
    """Decisions (right or wrong, option), and what they took."""
    settings = EvaluateCore(max_per_task=num_items, max_context_tokens=MAX_TOKENS)
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        found = evaluate(model, tokenizer, [task], settings=settings, state=Path(folder))
        seconds = clock.read()
    decisions = found.decisions[task.label]
    return [(each.is_correct, each.predicted) for each in decisions], seconds


def run_one_by_one(
    model: object, tokenizer: object, task: Task, num_items: int
) -> tuple[list, Seconds]:
    """The same, one item a forward pass."""
    clock = Clock()
    with open(task.data, encoding="utf-8") as stream:
        data = load_shuffled([json.loads(line) for line in stream], limit=None)
    layout = {"kind": task.type, "num_shots": task.num_shots, "delimiter": task.delimiter}
    decisions = [
        decide_item(model, tokenizer, data, index, max_tokens=MAX_TOKENS, **layout)[:2]
        for index in range(num_items)
    ]
    return decisions, clock.read()


def main() -> None:
    """Measures task by task and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden-size", type=int, default=384)
    parser.add_argument("--items", type=int, default=24, help="items of each task")
    options = parser.parse_args()
    tokenizer = train_tokenizer(options.bundle)
    model = make_model(num_layers=options.layers, hidden_size=options.hidden_size)
    tasks = {task.label: task for task in read_tasks(options.bundle)}
    print(
        "| task | ours, items/s | one item a pass, items/s | ratio | CPU ratio | equal decisions |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    spent: list[tuple[Seconds, Seconds]] = []
    for label in TASKS:
        ours, ours_s = run_ours(model, tokenizer, tasks[label], options.items)
        plain, plain_s = run_one_by_one(model, tokenizer, tasks[label], options.items)
        num_equal = sum(a == b for a, b in zip(ours, plain, strict=True))
        spent.append((ours_s, plain_s))
        print(
            row(label, options.items, ours_s, plain_s, f"{num_equal} of {options.items}"),
            flush=True,
        )
    sums = [Seconds(*map(sum, zip(*side, strict=True))) for side in zip(*spent, strict=True)]
    print(row("all", options.items * len(TASKS), *sums, ""))


def row(label: str, num_items: int, ours: Seconds, plain: Seconds, equal: str) -> str:
    """One line of the table."""
    return (
        f"| {label} | {num_items / ours.wall:.2f} | {num_items / plain.wall:.2f} "
        f"| {plain.wall / ours.wall:.1f} | {plain.cpu / ours.cpu:.1f} | {equal} |"
    )


if __name__ == "__main__":
    main()

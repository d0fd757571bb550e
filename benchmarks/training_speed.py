"""Tokens a second of training: Sluice beside TRL's SFTTrainer with its defaults.

    python benchmarks/training_speed.py --model results/base/base/final_model \
        --samples results/data/cases/train.jsonl results/data/numbers/train.jsonl

Needs `pip install trl==1.16.0` (in an environment of its own). Both train all weights of the same
model on the same samples, prompts masked, in float32, with the same optimiser, rate and batch; they
take turns, so that a loaded machine slows both. Prints a Markdown table: tokens a second (prompt
and response, padding left out) and the mean NLL per response token of held-out samples afterwards.
Wanted: at least 1.2 times TRL's tokens a second at the same loss.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "workflow_scripts"))

import torch
from transformers import AutoModelForCausalLM

from sluice.chat import load_tokenizer
from sluice.ledger import Ledger
from sluice.records import Sample, read_samples, write_samples
from sluice.settings.training import FineTune
from sluice.training.adapters import BaseModel
from sluice.training.encoding import load_training_samples
from sluice.training.history import History
from sluice.training.runs import make_plan, make_trainer

BATCH, ACCUMULATION, RATE, HELD_OUT = 8, 2, 1e-3, 200


def train_ours(model: str, rows: list[Sample], *, steps: int, packing: bool, folder: Path) -> Any:
    """Seconds of the steps, and the model."""
    settings = FineTune(
        method="full",
        max_steps=steps,
        batch_size=BATCH,
        accumulation=ACCUMULATION,
        learning_rate=RATE,
        schedule="linear",
        warmup_steps=0,
        weight_decay=0.0,
        eval_fraction=0.0,
        packing=packing,
        max_length=1024,
        checkpoint_every_s=1e9,
    )
    tokenizer = load_tokenizer(model)
    write_samples(folder / "samples.jsonl", rows)
    with Ledger("fine_tune", "speed", path=folder / "ledger.json") as ledger:
        path = folder / "samples.jsonl"
        samples = load_training_samples(tokenizer, [path], settings=settings, ledger=ledger)
    plan = make_plan(samples, settings)
    trainer = make_trainer(BaseModel(model), plan, settings, state=folder, pad=0, history=History())
    began = time.perf_counter()
    trainer.train()
    took_s = time.perf_counter() - began
    num_tokens = sum(len(samples[i].input_ids) for step in plan.steps for i in step)
    return num_tokens / took_s, trainer.model


def train_trl(model: str, rows: list[Sample], *, steps: int, folder: Path) -> Any:
    """Tokens a second and the model of SFTTrainer as it comes."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    messages = [[message.model_dump() for message in row.messages] for row in rows]
    data = Dataset.from_list([{"prompt": m[:-1], "completion": m[-1:]} for m in messages])
    config = SFTConfig(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=ACCUMULATION,
        learning_rate=RATE,
        use_cpu=not torch.cuda.is_available(),
        bf16=False,  # both in float32
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        include_num_input_tokens_seen="non_padding",
    )
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        config,
        train_dataset=data,
        processing_class=load_tokenizer(model),
    )
    began = time.perf_counter()
    trainer.train()
    took_s = time.perf_counter() - began
    return trainer.state.num_input_tokens_seen / took_s, trainer.model


@torch.no_grad()
def held_out_nll(model: Any, source: str, rows: list[Sample], *, folder: Path) -> float:
    """Mean over samples of the mean NLL of their response tokens, through the plain model."""
    model.save_pretrained(folder / "saved")
    plain = AutoModelForCausalLM.from_pretrained(folder / "saved", dtype=torch.float32)
    write_samples(folder / "held.jsonl", rows)
    with Ledger("fine_tune", "speed", path=folder / "ledger.json") as ledger:
        samples = load_training_samples(
            load_tokenizer(source), [folder / "held.jsonl"], settings=FineTune(), ledger=ledger
        )
    losses = []
    for sample in samples:
        ids = torch.tensor([sample.input_ids])
        nll = -plain(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        losses.append(float(nll[torch.tensor(sample.token_weights[1:]) > 0].mean()))
    return statistics.fmean(losses)


def main() -> None:
    """Takes turns, prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--samples", nargs="+", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows = [row for path in arguments.samples for row in read_samples(path)]
    random.Random(0).shuffle(rows)
    held, rows = rows[:HELD_OUT], rows[HELD_OUT:]
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(arguments.rounds):
        for name in ("TRL SFTTrainer", "Sluice", "Sluice, packing"):
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                if name.startswith("TRL"):
                    speed, model = train_trl(
                        arguments.model, rows, steps=arguments.steps, folder=folder
                    )
                else:
                    speed, model = train_ours(
                        arguments.model,
                        rows,
                        steps=arguments.steps,
                        packing="packing" in name,
                        folder=folder,
                    )
                nll = held_out_nll(model, arguments.model, held, folder=folder)
            found.setdefault(name, []).append((speed, nll))
            sys.stderr.write(json.dumps({"name": name, "speed": speed, "nll": nll}) + "\n")
    baseline = statistics.median(speed for speed, _ in found["TRL SFTTrainer"])
    print("| trainer | tokens/s, median | times TRL | held-out NLL |\n|---|---|---|---|")
    for name, results in found.items():
        speed = statistics.median(speed for speed, _ in results)
        nll = statistics.fmean(nll for _, nll in results)
        print(f"| {name} | {speed:,.0f} | {speed / baseline:.2f} | {nll:.4f} |")


if __name__ == "__main__":
    main()

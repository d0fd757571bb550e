"""Tokens a second and memory of scoring, training and sampling at Qwen3-1.7B's size, on a GPU.

    python benchmarks/gpu_speed.py

Needs no download: the weights are random in the shape of Qwen3-1.7B, which is as fast as the real
ones. Tokens are bytes of made-up text; the vocabulary is Qwen3's 151,936 entries, so that its
logits cost what they cost. Prints a Markdown table: tokens a second (padding left out), the
greatest memory that torch held, and the share of the GPU's bf16 peak that 2 (scoring) or 4 to 6
(training) floating-point operations per weight and token come to.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "workflow_scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import torch
from tiny_models import byte_tokenizer

from sluice.chat import load_tokenizer
from sluice.engines.building import make_engine
from sluice.engines.engine import Request, Sampling
from sluice.gate.collection import collect_router_data
from sluice.gate.conversion import convert_checkpoint
from sluice.gate.runs import load_gated_model
from sluice.ledger import Ledger
from sluice.records import Message, Sample, write_samples
from sluice.settings.engine import EngineSettings
from sluice.settings.gate import CollectRouterData, GateShape
from sluice.settings.training import FineTune
from sluice.training.adapters import BaseModel
from sluice.training.encoding import load_training_samples
from sluice.training.history import History
from sluice.training.runs import make_plan, make_trainer

_GIB = 1 << 30


def write_model(folder: Path) -> int:
    """Random bf16 weights in Qwen3-1.7B's shape; returns how many there are."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = byte_tokenizer()
    config = AutoConfig.for_model(
        "qwen3",
        vocab_size=151_936,
        hidden_size=2048,
        intermediate_size=6144,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
        max_position_embeddings=40_960,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(weight.numel() for weight in model.parameters())


def make_samples(count: int, *, seed: int) -> list[Sample]:
    """Questions of 50 to 200 bytes with answers of 100 to 1,200."""
    draw = random.Random(seed)

    def text(least: int, most: int) -> str:
        return "".join(draw.choices("abcdefghij klmno", k=draw.randint(least, most)))

    def messages() -> tuple[Message, Message]:
        return (
            Message(role="user", content=text(50, 200)),
            Message(role="assistant", content=text(100, 1200)),
        )

    return [
        Sample(messages=messages(), dataset="speed", id=f"speed_{number}")
        for number in range(count)
    ]


def timed(work: Callable[[], int]) -> tuple[float, float]:
    """Tokens a second of some work that returns how many it did, and the GiB that it held."""
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    num_tokens = work()
    torch.cuda.synchronize()
    took_s = time.perf_counter() - began
    return num_tokens / took_s, torch.cuda.max_memory_allocated() / _GIB


def score(gated: Path, folder: Path, *, count: int, with_ifd: bool) -> tuple[float, float]:
    """Router data of some samples, the model loaded and warm."""
    model, tokenizer = load_gated_model(gated, gate_weights=None), load_tokenizer(gated)
    settings = CollectRouterData(with_ifd=with_ifd, tokens_per_batch=32_768)

    def collect(samples: list[Sample], name: str) -> int:
        state = folder / name
        state.mkdir()
        with Ledger("collect_router_data", "speed", path=state / "ledger.json") as ledger:
            data = collect_router_data(
                model,
                tokenizer,
                samples,
                dataset="speed",
                settings=settings,
                ledger=ledger,
                state=state,
            )
        return int(data.offsets[-1])

    collect(make_samples(32, seed=1), f"warm{with_ifd}")
    return timed(lambda: collect(make_samples(count, seed=0), f"score{with_ifd}"))


def train(model: Path, folder: Path, *, steps: int, **changes: Any) -> tuple[float, float]:
    """Some optimiser steps of 16 samples, after as many to warm up."""
    settings = FineTune(
        **{"max_steps": steps, "batch_size": 4, "accumulation": 4, "eval_fraction": 0.0, **changes}
    )
    folder.mkdir()
    path = folder / "samples.jsonl"
    write_samples(path, make_samples(steps * 16, seed=2))
    with Ledger("fine_tune", "speed", path=folder / "ledger.json") as ledger:
        samples = load_training_samples(
            load_tokenizer(model), [path], settings=settings, ledger=ledger
        )
    plan = make_plan(samples, settings)

    def once(name: str) -> tuple[float, float]:
        state = folder / name
        state.mkdir()
        trainer = make_trainer(
            BaseModel(str(model)), plan, settings, state=state, pad=0, history=History()
        )

        def work() -> int:
            trainer.train()
            return sum(len(samples[i].input_ids) for step in plan.steps for i in step)

        return timed(work)

    once("warm")
    return once("timed")


def sample(model: Path, *, count: int) -> tuple[float, float]:
    """Eight completions of each prompt, in batches of 128 as the default is."""
    engine = make_engine(EngineSettings(), model=str(model))
    sampling = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=128)

    def work(prompts: int) -> int:
        rows = make_samples(prompts, seed=3)
        requests = [
            Request(messages=row.messages[:1], seed=number) for row in rows for number in range(8)
        ]
        done = engine.generate(requests, sampling=sampling)
        return sum(completion.num_tokens for _, completion in done)

    work(2)
    return timed(lambda: work(count))


def main() -> None:
    """Measures each step, prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="bf16, dense")
    arguments = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("| step | tokens/s | GiB held | share of peak |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        num_weights = write_model(folder / "model")

        def show(what: str, found: tuple[float, float], *, flops_per_weight: int) -> None:
            speed, gib = found
            share = speed * flops_per_weight * num_weights / (arguments.peak_tflops * 1e12)
            print(f"| {what} | {speed:,.0f} | {gib:.1f} | {share:.0%} |", flush=True)
            torch.cuda.empty_cache()

        began = time.perf_counter()
        gated = convert_checkpoint(
            str(folder / "model"), folder / "gated", shape=GateShape(), seed=42
        )
        print(f"| convert_checkpoint | {time.perf_counter() - began:.0f} s in all | - | - |")
        for with_ifd in (False, True):
            name = f"collect_router_data{', with IFD (a second pass)' if with_ifd else ''}"
            found = score(gated, folder, count=arguments.samples, with_ifd=with_ifd)
            show(name, found, flops_per_weight=2)
        for method, flops in (("lora", 4), ("qlora", 4), ("full", 6)):
            found = train(folder / "model", folder / method, steps=arguments.steps, method=method)
            show(f"fine_tune, {method}", found, flops_per_weight=flops)
        packed = {"method": "lora", "packing": True}
        found = train(folder / "model", folder / "packed", steps=arguments.steps, **packed)
        show("fine_tune, lora, packing", found, flops_per_weight=4)
        found = sample(folder / "model", count=arguments.prompts)
        show("sample_responses, 8 a prompt", found, flops_per_weight=2)


if __name__ == "__main__":
    main()

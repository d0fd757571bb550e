"""Sampling speed: the transformers engine against one prompt at a time through plain generate.

    python benchmarks/sampling_speed.py results/base/base/final_model results/data/cases/train.jsonl

Both complete the same prompts with the same number of completions each, in one process, in turns:
a round of one is followed by a round of the other, so that other work on the machine slows both.
Prints tokens/s of each round and the medians. A token is one that the model wrote, up to and with
its end of turn; what ``generate`` writes into rows that have ended does not count.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow_scripts"))

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from sluice.chat import load_tokenizer
from sluice.engines.building import make_engine
from sluice.engines.engine import Engine, Request, Sampling
from sluice.records import Sample, read_samples
from sluice.seeds import derive_seed
from sluice.settings.engine import EngineSettings


def time_engine(engine: Engine, samples: list[Sample], *, num: int, sampling: Sampling) -> float:
    """Tokens/s of our engine."""
    requests = [
        Request(sample.messages[:-1], derive_seed(1, "benchmark", sample.id, number))
        for sample in samples
        for number in range(num)
    ]
    began = time.perf_counter()
    tokens = sum(each.num_tokens for _, each in engine.generate(requests, sampling=sampling))
    return tokens / (time.perf_counter() - began)


def time_generate(
    model: Any, tokenizer: Any, samples: list[Sample], *, num: int, sampling: Sampling
) -> float:
    """Tokens/s of one prompt at a time, all its completions in one call."""
    config = GenerationConfig(
        do_sample=True,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=0,
        max_new_tokens=sampling.max_new_tokens,
        num_return_sequences=num,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    tokens = 0
    began = time.perf_counter()
    for sample in samples:
        prompt = tokenizer.apply_chat_template(
            [message.model_dump() for message in sample.messages[:-1]],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.inference_mode():
            written = model.generate(**prompt, generation_config=config)
        is_end = written[:, prompt["input_ids"].shape[1] :] == tokenizer.eos_token_id
        # Tokens before the first end of turn, and that one itself.
        tokens += int(((is_end.cumsum(-1) - is_end.long()) == 0).sum())
    return tokens / (time.perf_counter() - began)


def main() -> None:
    """Runs the rounds and prints what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="model folder")
    parser.add_argument("prompts", type=Path, help="canonical samples, JSONL")
    parser.add_argument("--num-prompts", type=int, default=320, help="prompts of an engine's round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--num-samples", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=EngineSettings().batch_size)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sampling = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=96)
    samples = list(read_samples(arguments.prompts))[: arguments.num_prompts]
    model = AutoModelForCausalLM.from_pretrained(arguments.model).eval()
    tokenizer = load_tokenizer(arguments.model)
    settings = EngineSettings(device="cpu", batch_size=arguments.batch_size)
    engine = make_engine(settings, model=arguments.model)
    rates: dict[str, list[float]] = {"engine": [], "generate": []}
    print(
        "| round | engine, tokens/s | one prompt at a time, tokens/s | ratio |\n|---|---|---|---|"
    )
    for number in range(arguments.rounds):
        num = arguments.num_samples
        ours = time_engine(engine, samples, num=num, sampling=sampling)
        # A fifth of the prompts: its rate does not depend on how many follow each other.
        few = samples[:: max(1, len(samples) // 64)]
        theirs = time_generate(model, tokenizer, few, num=num, sampling=sampling)
        rates["engine"].append(ours)
        rates["generate"].append(theirs)
        print(f"| {number + 1} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f} |", flush=True)
    ours, theirs = (statistics.median(rates[name]) for name in ("engine", "generate"))
    print(f"| median | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f} |")


if __name__ == "__main__":
    main()

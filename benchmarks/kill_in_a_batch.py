r"""What SIGKILL in the middle of a slow batch costs: a model in Qwen3-0.6B's shape on a CPU.

    python benchmarks/kill_in_a_batch.py results/base/base/final_model \
        results/data/cases/train.jsonl

Samples one batch with a random model (440 million parameters beside its embeddings; tokenizer of
the checkpoint that is named), undisturbed and killed once after ``--kill-after-s``. Prints the
seconds of each run, the bytes of the notes that the kill left, and whether both made the same.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

ROOT = Path(__file__).resolve().parent.parent
_COMPARED = ("sampled_data.json", "accepted.jsonl", "completions.jsonl")


def write_model(folder: Path, *, tokenizer_of: str) -> None:
    """A random Qwen3-0.6B for another tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def sample(model: Path, prompts: str, target: Path, *, kill_after_s: float | None) -> float:
    """Runs sample_responses, to its end or until it is killed; returns the seconds."""
    target.mkdir(exist_ok=True)
    began = time.monotonic()
    process = subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "workflow_scripts" / "sample_responses.py")),
            *("--model_path", str(model), "--training_data", prompts, "--device", "cpu"),
            *("--output", str(target / "sampled_data.json"), "--state-dir", str(target / "state")),
            *("--num-prompts", "16", "--num_samples", "2", "--max_new_tokens", "150"),
            *("--temperature", "1.0", "--grader", "exact", "--batch-size", "32"),
        ]
    )
    try:
        status = process.wait(timeout=kill_after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    else:
        if status or kill_after_s:
            sys.exit(f"sample_responses ended with status {status} before its time")
    return time.monotonic() - began


def main() -> None:
    """Both runs, and what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="whose tokenizer is taken")
    parser.add_argument("prompts", help="canonical samples")
    parser.add_argument("--kill-after-s", type=float, default=95.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, killed, model = folder / "whole", folder / "killed", folder / "model"
        write_model(model, tokenizer_of=arguments.checkpoint)
        print(f"undisturbed: {sample(model, arguments.prompts, whole, kill_after_s=None):.0f} s")
        sample(model, arguments.prompts, killed, kill_after_s=arguments.kill_after_s)
        notes = [file.stat().st_size for file in (killed / "state").rglob("*.pt")]
        print(f"killed after {arguments.kill_after_s:.0f} s: {sum(notes) / 1e9:.2f} GB of notes")
        print(f"run again: {sample(model, arguments.prompts, killed, kill_after_s=None):.0f} s")
        same = [(whole / each).read_bytes() == (killed / each).read_bytes() for each in _COMPARED]
        print("same files" if all(same) else "OTHER FILES")


if __name__ == "__main__":
    main()

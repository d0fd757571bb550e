"""The built-in run in small, raw data to adapter, for tests that need many runs: a minute each."""

import hashlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from support import clone

TARGETS = (
    "results/selected_data.jsonl",
    "results/sampled/cases/sampled_data.json",
    "results/adapters/tuned/final_model",
)

CONFIG: dict[str, Any] = {
    "datasets": {"cases": {"path": "results/demo/cases.jsonl"}},
    "data": {"evaluation_texts": ["results/demo/heldout_cases.jsonl"]},
    "base": {"num_steps": 40},
    "gate": {"warm_up_steps": 5},
    "tasks": {
        "cases": {
            "model": "base",
            "prompts": "results/data/cases/train.jsonl",
            "grader": "exact",
            "num_prompts": 24,
            "num_samples": 4,
            "max_new_tokens": 16,
        }
    },
    "adapters": {
        "tuned": {
            "model": "base",
            "samples": ["results/selected_data.jsonl"],
            "r": 4,
            "batch_size": 8,
            "accumulation": 1,
            "max_steps": 6,
            "warmup_steps": 1,
            "eval_fraction": 0.0,
        }
    },
}

# Measured seconds, and what each shard says of itself.
_NOT_COMPARED = ("benchmarks", "logs", ".state", "shards", "sampling_stats.json", "metrics.json")


def prepare(folder: Path, config: Mapping[str, Any] = CONFIG) -> Path:
    """A clone with a configuration of its own, small.yaml."""
    clone(folder)
    (folder / "small.yaml").write_text(yaml.safe_dump(dict(config)))
    return folder


def start(
    folder: Path, *words: str, cores: int = 2, targets: Sequence[str] = TARGETS
) -> subprocess.Popen[bytes]:
    """Snakemake on the small run, in a process group of its own; what it says is in run.log."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
    with open(folder / "run.log", "ab") as log:
        return subprocess.Popen(
            [*command, "--configfile", "small.yaml", *words, "--", *targets],
            cwd=folder,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def finish(folder: Path, *words: str, cores: int = 2, targets: Sequence[str] = TARGETS) -> Path:
    """Runs to the end, which must be a good one."""
    status = start(folder, *words, cores=cores, targets=targets).wait()
    assert status == 0, (folder / "run.log").read_text()[-6000:]
    return folder


def artifacts(folder: Path) -> dict[str, str]:
    """Every file that the run made, with the hash of its bytes, but for measured seconds."""
    root = folder / "results"
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not set(_NOT_COMPARED) & set(path.relative_to(root).parts)
    }

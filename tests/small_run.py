"""The built-in run in small, raw data to adapter, and the flywheel's first turn: a minute each."""

import hashlib
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from support import clone
from tiny_models import write_tiny_checkpoint

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

# As little as each step takes, for runs that are made many times; and notes of the progress so
# often that an interrupted step has some.
BRIEF_CONFIG: dict[str, Any] = {
    **CONFIG,
    "data": {
        **CONFIG["data"],
        "num_samples": 240,
        "num_corpus_samples": 600,
        "num_heldout_samples": 60,
    },
    "tokenizer": {"vocab_size": 600},
    "base": {"num_steps": 40, "batch_size": 8, "hidden_size": 64, "checkpoint_every": 4},
    "tasks": {"cases": {**CONFIG["tasks"]["cases"], "batch_size": 16}},
    "adapters": {
        "tuned": {**CONFIG["adapters"]["tuned"], "max_steps": 12, "checkpoint_every_s": 0},
    },
}

TURN_TARGETS = ("results/flywheel/turn_1/summary.json",)

# With a tiny random model. Its training's live curve is the one thing of a turn that is noted in
# MLflow before the report.
TURN_CONFIG: dict[str, Any] = {
    # So few topics share most of their phrases: only whole questions count as evaluation text.
    "data": {"overlap_ngram": 1000, "evaluation_texts": []},
    "models": {"tiny": {"path": "tiny"}},
    "flywheel": {
        "model": "tiny",
        "num_train_topics": 12,
        "num_heldout_topics": 6,
        "max_new_tokens": 8,
        "min_score": 1,
        "min_kept": 1,
        "max_regression": 4,
        "adapter": {"max_steps": 6, "batch_size": 8, "r": 4, "trackers": ["mlflow"]},
    },
    "tracking": {"enabled": True},
}

# Measured seconds, and what each shard says of itself.
_NOT_COMPARED = ("benchmarks", "logs", ".state", "shards", "sampling_stats.json", "metrics.json")


def prepare(folder: Path, config: Mapping[str, Any] = CONFIG) -> Path:
    """A clone with a configuration of its own, small.yaml."""
    clone(folder)
    (folder / "small.yaml").write_text(yaml.safe_dump(dict(config)))
    return folder


def prepare_turn(folder: Path, config: Mapping[str, Any] = TURN_CONFIG) -> Path:
    """The same for a turn, with the model that it starts from."""
    write_tiny_checkpoint(prepare(folder, config) / "tiny")
    return folder


def begin_anew(folder: Path) -> None:
    """Takes away all that runs have made."""
    shutil.rmtree(folder / "results")
    shutil.rmtree(folder / ".snakemake")


def unlock(folder: Path, *, targets: Sequence[str] = TARGETS) -> None:
    """What a user does after an ending that left the folder locked; most release it."""
    if any((folder / ".snakemake" / "locks").glob("*")):
        assert start(folder, "--unlock", targets=targets).wait() == 0


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


def cpu_seconds(do: Callable[[], object]) -> float:
    """Processor seconds of the processes that a function starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    do()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def artifacts(folder: Path) -> dict[str, str]:
    """Every file that the run made, with the hash of its bytes, but for measured seconds."""
    root = folder / "results"
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not set(_NOT_COMPARED) & set(path.relative_to(root).parts)
    }

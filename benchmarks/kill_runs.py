"""Ends a run at random moments, again and again, and compares it with an undisturbed one.

    python benchmarks/kill_runs.py builtin --kills 100
    python benchmarks/kill_runs.py turn --kills 20

`builtin` is raw data to adapter in small, `turn` the flywheel's first turn with a tiny random
model. Each ending is SIGKILL to the whole process group, SIGTERM to Snakemake or Ctrl-C; then the
run is started again, and one that came to its end begins anew from nothing. Wanted: the same
artifacts, measured times aside, and no process left alive.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "tests")]

import small_run
from disturbing import disturb
from tiny_models import write_tiny_checkpoint

from sluice.flywheel.turn_hashes import hash_artifact

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

TURN_CONFIG = {
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
        "adapter": {"max_steps": 6, "batch_size": 8, "r": 4},
    },
}
# TensorBoard's files and the smoke question's latencies differ from run to run.
NOT_COMPARED = ("logs", "bootstrap.json")


@dataclass(frozen=True)
class Kind:
    """What is run, and what of it must be the same."""

    config: Mapping[str, Any]
    targets: tuple[str, ...]
    artifacts: Callable[[Path], dict[str, str]]


def turn_artifacts(folder: Path) -> dict[str, str]:
    """What a turn made, without measured times."""
    root = folder / "results/flywheel"
    return {
        str(path.relative_to(root)): hash_artifact(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and not set(NOT_COMPARED) & set(path.relative_to(root).parts)
    }


KINDS = {
    "builtin": Kind(small_run.CONFIG, small_run.TARGETS, small_run.artifacts),
    "turn": Kind(TURN_CONFIG, ("results/flywheel/turn_1/summary.json",), turn_artifacts),
}


def prepare(folder: Path, kind: Kind) -> Path:
    """A clone with a tiny model beside its configuration."""
    small_run.prepare(folder, kind.config)
    write_tiny_checkpoint(folder / "tiny")
    return folder


def differing(kind: Kind, whole: Path, folder: Path) -> list[str]:
    """Files of one run that the other has not, or has with other bytes."""
    expected, found = kind.artifacts(whole), kind.artifacts(folder)
    return [name for name in {**expected, **found} if expected.get(name) != found.get(name)]


def main() -> None:
    """Prints a line for each ending, then what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--longest-s", type=float, help="half an undisturbed run where not given")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # A shell's background jobs ignore Ctrl-C, and so would the runs that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    kind, drawn = KINDS[options.kind], random.Random(options.seed)
    with tempfile.TemporaryDirectory() as root:
        whole, killed = (prepare(Path(root).resolve() / name, kind) for name in ("a", "b"))
        began = time.monotonic()
        small_run.finish(whole, targets=kind.targets)
        whole_s = time.monotonic() - began
        print(f"An undisturbed run took {whole_s:.0f} s.\n")
        print("| | signal | after (s) | exit status | processes left |\n|--:|--|--:|--:|--:|")
        start = partial(small_run.start, killed, targets=kind.targets)
        num_kills = num_left = num_runs = 0
        wrong: list[str] = []
        while num_kills < options.kills:
            each = disturb(
                start,
                killed,
                signals=SIGNALS,
                longest_s=options.longest_s or whole_s / 2,
                drawn=drawn,
            )
            num_left += len(each.survivors)
            if each.status == 0:
                num_runs += 1
                wrong += differing(kind, whole, killed)
                print(f"| | run {num_runs} came to its end: {len(wrong)} files differ so far |")
                shutil.rmtree(killed / "results")
                shutil.rmtree(killed / ".snakemake")
                continue
            num_kills += 1
            print(
                f"| {num_kills} | {each.signal.name} | {each.after_s:.1f} | {each.status} "
                f"| {len(each.survivors)} |",
                flush=True,
            )
            start("--unlock").wait()
        small_run.finish(killed, targets=kind.targets)
        wrong += differing(kind, whole, killed)
        num_files = len(kind.artifacts(whole))
        print(f"\n{num_runs + 1} runs of {num_files} artifacts each: {len(wrong)} differ")
        print("\n".join(wrong))
        sys.exit(bool(wrong or num_left))


if __name__ == "__main__":
    main()

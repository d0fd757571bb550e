"""Kills a turn of the flywheel at random moments and compares the result with an undisturbed one.

    python benchmarks/kill_turns.py --kills 20

Runs `snakemake results/flywheel/turn_1/summary.json` with a tiny random model in two clones below a
temporary folder. In the second one the whole process group gets SIGKILL at random moments, and the
run is started again. Wanted: the same artifacts, measured times aside, and no server left alive.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "tests")]

from support import clone
from tiny_models import write_tiny_checkpoint

from sluice.flywheel.turn_hashes import hash_artifact

TARGET = "results/flywheel/turn_1/summary.json"
CONFIG = {
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
GRACE_S = 20.0


def prepare(folder: Path) -> Path:
    """A clone with a model and a configuration of its own."""
    clone(folder)
    write_tiny_checkpoint(folder / "tiny")
    (folder / "mine.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Snakemake in a process group of its own."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "mine.yaml"]
    with open(folder / "run.log", "ab") as log:
        return subprocess.Popen(
            [*command, *words, "--", TARGET],
            cwd=folder,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def survivors(folder: Path) -> list[psutil.Process]:
    """Processes that still work in the folder, once all have had time to notice."""
    deadline = time.monotonic() + GRACE_S
    while found := [each for each in psutil.process_iter() if _works_in(each, folder)]:
        if time.monotonic() > deadline:
            return found
        time.sleep(0.2)
    return []


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        return is_alive and Path(process.cwd()).is_relative_to(folder)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def hashes(folder: Path) -> dict[str, str]:
    """What the turn made, without measured times."""
    root = folder / "results/flywheel"
    return {
        str(path.relative_to(root)): hash_artifact(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and not set(NOT_COMPARED) & set(path.relative_to(root).parts)
    }


def finish(folder: Path) -> float:
    """Runs to the end; returns the seconds."""
    began = time.monotonic()
    if start(folder).wait():
        sys.exit((folder / "run.log").read_text()[-4000:])
    return time.monotonic() - began


def run_with_kills(folder: Path, *, kills: int, longest_s: float, seed: int) -> list[str]:
    """Kills the group at random moments, each time starting again; returns what went wrong."""
    drawn, wrong = random.Random(seed), []
    for number in range(kills):
        process, delay_s = start(folder), drawn.uniform(0, longest_s)
        try:
            process.wait(delay_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        left = survivors(folder)
        wrong += [f"after kill {number}: {' '.join(each.cmdline()[:8])}" for each in left]
        print(f"| {number + 1} | {delay_s:.1f} | {process.returncode} | {len(left)} |", flush=True)
        start(folder, "--unlock").wait()
    finish(folder)
    return wrong


def main() -> None:
    """Prints a line a kill, then what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        whole, killed = (prepare(Path(root).resolve() / name) for name in ("whole", "killed"))
        whole_s = finish(whole)
        print(f"An undisturbed run took {whole_s:.0f} s.\n")
        print("| kill | after (s) | exit status | processes left |\n|--:|--:|--:|--:|", flush=True)
        wrong = run_with_kills(
            killed, kills=options.kills, longest_s=whole_s / 2, seed=options.seed
        )
        expected, found = hashes(whole), hashes(killed)
        differing = [
            name for name in {**expected, **found} if expected.get(name) != found.get(name)
        ]
        print(f"\n{len(expected)} artifacts, {len(differing)} differ: {', '.join(differing)}")
        sys.exit(bool(differing or wrong))


if __name__ == "__main__":
    main()

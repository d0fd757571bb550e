"""Ends a run at random moments, again and again, and compares it with an undisturbed one.

    python benchmarks/kill_runs.py builtin --kills 100
    python benchmarks/kill_runs.py turn --kills 20 --signals kill

`builtin` is raw data to adapter in small, `turn` the flywheel's first turn with a tiny random
model, whose training is noted in MLflow. Each ending is SIGKILL to the whole process group, SIGTERM
to Snakemake or to the group, or Ctrl-C, or of one kind alone; then the run is started again, and
one that came to its end begins anew from nothing. Wanted: the same artifacts, measured times aside,
the same runs in MLflow, ids and times aside, and no process left alive. `tests/faults` does it with
a run of less work.
"""

import argparse
import contextlib
import json
import random
import re
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "tests")]

import small_run
from disturbing import disturb

from sluice.flywheel.turn_hashes import hash_artifact

SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}

# TensorBoard's files differ from run to run.
NOT_COMPARED = "logs"
# What the Trainer measures while it trains.
MEASURED_METRIC = re.compile("(train|eval)_(runtime|.*_per_second)")


@dataclass(frozen=True)
class Kind:
    """What is run, and what of it must be the same."""

    prepare: Callable[[Path], Path]
    targets: tuple[str, ...]
    artifacts: Callable[[Path], dict[str, str]]


def turn_artifacts(folder: Path) -> dict[str, str]:
    """What a turn made and noted in MLflow, without measured times."""
    root = folder / "results/flywheel"
    files = {
        str(path.relative_to(root)): hash_artifact(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and NOT_COMPARED not in path.relative_to(root).parts
    }
    runs = sorted(tracked_runs(folder / "results/mlflow.db"))
    return {**files, **{f"run {number} in MLflow": run for number, run in enumerate(runs)}}


def tracked_runs(store: Path) -> list[str]:
    """What a SQLite store of MLflow says of each run, without ids and times.

    A step that was trained twice, before and after a kill, is noted twice with the same values.
    """
    with contextlib.closing(sqlite3.connect(store)) as database:
        found = []
        for run, name, status in database.execute("SELECT run_uuid, name, status FROM runs"):
            rows = {
                table: sorted(
                    set(database.execute(f"SELECT {what} FROM {table} WHERE run_uuid = ?", (run,)))
                )
                for table, what in (("params", "key, value"), ("metrics", "key, step, value"))
            }
            rows["metrics"] = [row for row in rows["metrics"] if not MEASURED_METRIC.match(row[0])]
            found.append(json.dumps({"name": name, "status": status, **rows}))
    return found


KINDS = {
    "builtin": Kind(small_run.prepare, small_run.TARGETS, small_run.artifacts),
    "turn": Kind(small_run.prepare_turn, small_run.TURN_TARGETS, turn_artifacts),
}


def differing(kind: Kind, whole: Path, folder: Path) -> list[str]:
    """Files of one run that the other has not, or has with other bytes."""
    expected, found = kind.artifacts(whole), kind.artifacts(folder)
    return [name for name in {**expected, **found} if expected.get(name) != found.get(name)]


def main() -> None:
    """Prints a line for each ending, then what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument(
        "--longest-cpu-s",
        type=float,
        help="processor seconds before an ending; half an undisturbed run's where not given",
    )
    parser.add_argument("--signals", nargs="+", choices=SIGNALS, default=list(SIGNALS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # A shell's background jobs ignore Ctrl-C, and so would the runs that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    kind, drawn = KINDS[options.kind], random.Random(options.seed)
    with tempfile.TemporaryDirectory() as root:
        whole, killed = (kind.prepare(Path(root).resolve() / name) for name in ("a", "b"))
        whole_cpu_s = small_run.cpu_seconds(partial(small_run.finish, whole, targets=kind.targets))
        print(f"An undisturbed run took {whole_cpu_s:.0f} s of processor time.\n")
        print(
            "| | signal | after (processor s) | in a step | exit status | processes left |\n"
            "|--:|--|--:|--|--:|--:|"
        )
        start = partial(small_run.start, killed, targets=kind.targets)
        num_kills = num_left = num_runs = 0
        wrong: list[str] = []
        while num_kills < options.kills:
            each = disturb(
                start,
                killed,
                signals=tuple(SIGNALS[name] for name in options.signals),
                longest_cpu_s=options.longest_cpu_s or whole_cpu_s / 2,
                drawn=drawn,
            )
            num_left += len(each.survivors)
            if each.status == 0:
                num_runs += 1
                wrong += differing(kind, whole, killed)
                print(f"| | run {num_runs} came to its end: {len(wrong)} files differ so far |")
                small_run.begin_anew(killed)
                continue
            if not each.is_sent:
                sys.exit(f"a run failed by itself:\n{(killed / 'run.log').read_text()[-6000:]}")
            num_kills += 1
            print(
                f"| {num_kills} | {each.signal.name} | {each.after_cpu_s:.1f} "
                f"| {'yes' if each.is_in_step else 'no'} | {each.status} | {len(each.survivors)} |",
                flush=True,
            )
            small_run.unlock(killed, targets=kind.targets)
        small_run.finish(killed, targets=kind.targets)
        wrong += differing(kind, whole, killed)
        num_files = len(kind.artifacts(whole))
        print(f"\n{num_runs + 1} runs of {num_files} artifacts each, {len(wrong)} differ")
        print("\n".join(wrong))
        sys.exit(bool(wrong or num_left))


if __name__ == "__main__":
    main()

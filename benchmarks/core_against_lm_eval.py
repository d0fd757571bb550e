"""CORE's multiple-choice prompts through Sluice and through lm_eval: speed and decisions.

    python benchmarks/core_against_lm_eval.py ../shared/data/core [MODEL] [--items 50]

Needs requirements-dev.txt (lm_eval), a bundle, and a finished built-in run or another model. Both
sides read the same texts on the same loaded model, one after the other, task by task. Decisions by
the sum of log-likelihoods (lm_eval's acc) are compared item by item; where every choice is one
token, that is CORE's own decision. Prints a Markdown table.
"""

import argparse
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "tests")]

from parity.lm_eval_tasks import run_lm_eval, sums_of_losses, write_task

from sluice.core_metric.bundle import read_items, read_tasks
from sluice.core_metric.evaluation import evaluate
from sluice.core_metric.model import load_model
from sluice.settings.core_metric import EvaluateCore

TASKS = ("commonsense_qa", "arc_easy", "piqa", "openbook_qa")
BUILT_IN = ROOT / "results/base/base/final_model"


def main() -> None:
    """Measures task by task and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("model", nargs="?", default=str(BUILT_IN))
    parser.add_argument("--items", type=int, default=50, help="items of each task")
    parser.add_argument("--batch-size", type=int, default=8, help="of lm_eval")
    options = parser.parse_args()
    model, tokenizer = load_model(options.model, revision=None, device="auto", precision="auto")
    tasks = {task.label: task for task in read_tasks(options.bundle)}
    settings = EvaluateCore(max_per_task=options.items)
    print("| task | Sluice, items/s | lm_eval, items/s | ratio | CPU ratio | equal decisions |")
    print("|---|---|---|---|---|---|", flush=True)
    for label in TASKS:
        task, items = tasks[label], read_items(tasks[label])
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_task(folder, task, items, num_items=options.items)
            clocks = [(time.perf_counter(), time.process_time())]
            found = evaluate(model, tokenizer, [task], settings=settings, state=folder)
            clocks.append((time.perf_counter(), time.process_time()))
            (theirs,) = run_lm_eval(
                folder, [label], model=model, tokenizer=tokenizer, batch_size=options.batch_size
            ).values()
            clocks.append((time.perf_counter(), time.process_time()))
        (wall, cpu), (their_wall, their_cpu) = (
            (after[0] - before[0], after[1] - before[1]) for before, after in pairwise(clocks)
        )
        sums = sums_of_losses(task, items, found.decisions[label], tokenizer=tokenizer)
        num_equal = sum(
            ours.index(min(ours)) == logs.index(max(logs))
            for ours, logs in zip(sums, theirs, strict=True)
        )
        print(
            f"| {label} | {options.items / wall:.1f} | {options.items / their_wall:.1f} "
            f"| {their_wall / wall:.1f} | {their_cpu / cpu:.1f} "
            f"| {num_equal} of {options.items} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

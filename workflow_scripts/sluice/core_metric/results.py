"""From decisions to CORE: accuracies with intervals, centred on guessing, and their mean.

CORE is the mean over tasks of (accuracy - baseline) / (1 - baseline): 0 for guessing, 1 for a model
that is always right (DCLM, arXiv 2406.11794, section 3.5).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sluice.core_metric.bundle import BASELINE_FILES, Task
from sluice.intervals import NUM_DRAWS, Estimate, Floats, share
from sluice.seeds import derive_seed

_DECIMALS = 12


@dataclass(frozen=True)
class TaskResult:
    """How one task went."""

    task: Task
    num_correct: int
    num_items: int
    """Items evaluated."""
    num_available: int
    """Items that the bundle holds."""
    seconds: float

    @property
    def accuracy(self) -> Estimate:
        """Share of right items with its Wilson interval."""
        return share(self.num_correct, self.num_items)


def centre(accuracy: float, baseline: float) -> float:
    """0 for guessing, 1 for always right; below 0 for worse than guessing."""
    return (accuracy - baseline) / (1 - baseline)


def core_estimate(results: Sequence[TaskResult], version: str, *, seed: int) -> Estimate:
    """CORE with the 95 % percentile interval of a bootstrap over the items of each task.

    Drawing n right-or-wrong items with replacement is drawing the number of right ones from a
    binomial distribution. A task in which all items are right, or all wrong, adds no width.

    Args:
        results: of the tasks that count.
        version: of the random baselines.
        seed: of the draws; each task derives its own.
    """
    value = float(np.mean([_centred(each, version) for each in results]))
    draws = np.mean([_draws(each, version, seed=seed) for each in results], axis=0)
    low, high = np.quantile(draws, [0.025, 0.975]).round(_DECIMALS)
    return Estimate(value, float(low), float(high))


def _centred(result: TaskResult, version: str) -> float:
    return centre(result.num_correct / result.num_items, result.task.baselines[version])


def _draws(result: TaskResult, version: str, *, seed: int) -> Floats:
    rng = np.random.default_rng(derive_seed(seed, "evaluate_core", result.task.label))
    share_correct = result.num_correct / result.num_items
    drawn = rng.binomial(result.num_items, share_correct, size=NUM_DRAWS) / result.num_items
    baseline = result.task.baselines[version]
    centred: Floats = (drawn - baseline) / (1 - baseline)
    return centred


def results_table(
    tasks: Sequence[Task], results: Mapping[str, TaskResult], *, seed: int
) -> pd.DataFrame:
    """One row a task, in the bundle's order, then CORE_v1 and CORE_v2; shares from 0 to 1.

    Args:
        tasks: all tasks of the bundle; those without a result are marked as missing.
        results: by task label.
        seed: of the bootstrap.
    """
    versions = [version for version in BASELINE_FILES if version in tasks[0].baselines]
    rows = [_task_row(task, results.get(task.label), versions) for task in tasks]
    rows += [_core_row(tasks, list(results.values()), version, seed=seed) for version in versions]
    columns = ["task", "type", "shots", "n", "accuracy", "low", "high"]
    for version in versions:
        columns += [f"random_baseline_{version}", f"centred_{version}"]
    table = pd.DataFrame(rows, columns=[*columns, "seconds", "status"])
    return table.astype({"shots": "Int64", "n": "Int64"})


def _task_row(task: Task, result: TaskResult | None, versions: Sequence[str]) -> dict[str, object]:
    row: dict[str, object] = {
        "task": task.label,
        "type": task.type,
        "shots": task.num_shots,
        **{f"random_baseline_{version}": task.baselines[version] for version in versions},
    }
    if result is None:
        return {**row, "status": "missing"}
    accuracy = result.accuracy
    is_whole = result.num_items == result.num_available
    return {
        **row,
        "n": result.num_items,
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        **{f"centred_{version}": _centred(result, version) for version in versions},
        "seconds": result.seconds,
        "status": "complete" if is_whole else f"first {result.num_items} of {result.num_available}",
    }


def _core_row(
    tasks: Sequence[Task], results: Sequence[TaskResult], version: str, *, seed: int
) -> dict[str, object]:
    core = core_estimate(results, version, seed=seed)
    return {
        "task": f"CORE_{version}",
        "n": sum(result.num_items for result in results),
        "low": core.low,
        "high": core.high,
        f"centred_{version}": core.value,
        "seconds": sum(result.seconds for result in results),
        "status": _core_status(len(results), len(tasks), results),
    }


def _core_status(num_results: int, num_tasks: int, results: Sequence[TaskResult]) -> str:
    num_shortened = sum(result.num_items < result.num_available for result in results)
    reasons = []
    if num_results < num_tasks:
        reasons.append(f"{num_results} of {num_tasks} tasks")
    if num_shortened:
        reasons.append(f"{num_shortened} of them shortened")
    return f"partial: {'; '.join(reasons)}" if reasons else "complete"

"""Which runs there are: one for each sampling, evaluation, comparison, turn and its calibration.

Those of trainings are in `sluice.tracking.trainings`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sluice.artifact_forms import (
    CALIBRATION,
    COMPARISON,
    EVALUATION_RESULTS,
    SAMPLING,
    TURN_SUMMARY,
    measures_of,
)
from sluice.artifacts import beside_results, read_configuration, suite_samples
from sluice.forms import read_artifact
from sluice.ledger import read_ledger
from sluice.settings.flywheel import FlywheelSettings
from sluice.settings.report import Artifacts
from sluice.tracking.figures import flat, numbers, prefixed, seed_of
from sluice.tracking.tracked_run import TrackedDataset, TrackedRun
from sluice.tracking.trainings import training_run

_WHEEL = "flywheel"
_HELD_OUT = "heldout/simulation_data.json"


def gather_runs(files: Artifacts) -> list[TrackedRun]:
    """All runs, each after the one that it is nested in.

    Raises:
        DataError: a file is missing or broken.
    """
    configuration = read_configuration(files.configuration)
    return [
        *_selection(files, configuration),
        *turn_runs(files.turns, configuration),
        *(calibration_run(path) for path in files.calibrations),
        *(training_run(path, configuration) for path in files.trainings),
        *(sampling_run(path, configuration) for path in files.samplings),
        *(evaluation_run(path, configuration) for path in files.evaluations),
        *(comparison_run(path) for path in files.comparisons),
    ]


def sampling_run(path: Path, configuration: Mapping[str, Any]) -> TrackedRun:
    """Rejection sampling of one task."""
    content = read_artifact(path, SAMPLING)
    task = path.parent.name
    prompts = Path(configuration.get("tasks", {}).get(task, {}).get("prompts", ""))
    return TrackedRun(
        key=f"sampling/{task}",
        name=f"sample {task}",
        params={**flat(content["settings"]), **seed_of(configuration)},
        metrics={**numbers(content), **prefixed("pass_at", content["pass_at_k"])},
        artifacts=[path],
        datasets=[TrackedDataset(prompts, "sampling")] if prompts.is_file() else [],
    )


def evaluation_run(path: Path, configuration: Mapping[str, Any]) -> TrackedRun:
    """The answers of one subject to one suite."""
    content = read_artifact(path, EVALUATION_RESULTS)
    subject, suite = content["subject"], content["suite"]
    entry = configuration.get("suites", {}).get(suite, {})
    samples, table = suite_samples(configuration, suite), beside_results(path, ".csv")
    metrics = prefixed("accuracy", _estimate(content["overall"], "accuracy"))
    for group in content["groups"]:
        metrics |= prefixed(f"accuracy/{group['group']}", _estimate(group, "accuracy"))
    return TrackedRun(
        key=f"evaluation/{subject}/{suite}",
        name=f"evaluate {subject} on {suite}",
        params={**flat(entry), "subject": subject, "suite": suite, **seed_of(configuration)},
        metrics={**metrics, **prefixed("verdicts", content["verdicts"])},
        artifacts=[path, *([table] if table.is_file() else [])],
        datasets=[TrackedDataset(samples, "evaluation")] if samples.is_file() else [],
    )


def comparison_run(path: Path) -> TrackedRun:
    """Two subjects on the same items."""
    content = read_artifact(path, COMPARISON)
    metrics: dict[str, float] = {}
    for row in content["rows"]:
        measured = _picked(row, "difference", "difference_low", "difference_high", "p_holm")
        metrics |= prefixed(f"{row['suite']}/{row['group']}", measured)
    beside = sorted(path.parent.glob("*.png")) + sorted(path.parent.glob("summary.md"))
    return TrackedRun(
        key=f"comparison/{content['a']}_vs_{content['b']}",
        name=f"compare {content['b']} with {content['a']}",
        params=_picked(content, "a", "b", "test", "interval"),
        metrics=metrics,
        artifacts=[path, *beside],
    )


def turn_runs(turns: Sequence[Path], configuration: Mapping[str, Any]) -> Iterator[TrackedRun]:
    """The flywheel as one run, and in it a run for each turn with its scores and its cost.

    The flywheel's own run says nothing that changes with the number of turns, so that it stays the
    same one when turns are added.
    """
    if not turns:
        return
    default = FlywheelSettings.model_fields["model"].default
    model = configuration.get("flywheel", {}).get("model", default)
    yield TrackedRun(key=_WHEEL, name=_WHEEL, params={"model": model, **seed_of(configuration)})
    for path in turns:
        content = read_artifact(path, TURN_SUMMARY)
        number = content["turn"]
        metrics = _estimates("score", _picked(content["scores"], *measures_of(content)))
        for against in content["against"]:
            metrics |= _estimates(f"against_turn_{against['turn']}", against["differences"])
        for step, booked in content["spending"].items():
            metrics |= prefixed(f"spending/{step}", numbers(booked))
        training = content["training"]
        books: Mapping[str, Any] = training["ledger"] if training else {}
        yield TrackedRun(
            key=f"{_WHEEL}/turn_{number}",
            name=f"turn {number}",
            params={
                **flat(content["settings"]),
                **_picked(content, "model", "evaluator", "interval"),
            },
            metrics={**metrics, **prefixed("kept", numbers(books))},
            artifacts=[path],
            datasets=_turn_datasets(path.parent),
            parent=_WHEEL,
        )


def calibration_run(path: Path) -> TrackedRun:
    """How far the judges of a turn can be trusted; nested in the turn.

    A run of its own, since only the last turn is calibrated: the turn before would change with it.
    """
    content = read_artifact(path, CALIBRATION)
    metrics: dict[str, float] = {}
    for row in content["measures"]:
        measured = numbers(_picked(row, "value", "low", "high"))
        metrics |= prefixed(f"{row['judge']}/{row['measure']}", measured)
    turn = path.parent.name
    return TrackedRun(
        key=f"{_WHEEL}/{turn}/calibration",
        name=f"calibrate the judges of {turn}",
        params={f"{name}.model": judge["model"] for name, judge in content["judges"].items()},
        metrics=metrics,
        artifacts=[path],
        datasets=_turn_datasets(path.parent, names=(_HELD_OUT,)),
        parent=f"{_WHEEL}/{turn}",
    )


def _estimates(prefix: str, measures: Mapping[str, Any]) -> dict[str, float]:
    """Value and interval of each measure."""
    found: dict[str, float] = {}
    for name, measure in measures.items():
        found |= prefixed(f"{prefix}/{name}", _picked(measure, "value", "low", "high"))
    return found


def _turn_datasets(
    folder: Path, *, names: Sequence[str] = ("sft_train.jsonl", _HELD_OUT)
) -> list[TrackedDataset]:
    """What a turn learnt from and what it was judged on."""
    return [
        TrackedDataset(folder / name, "evaluation" if name == _HELD_OUT else "training")
        for name in names
        if (folder / name).is_file()
    ]


def _selection(files: Artifacts, configuration: Mapping[str, Any]) -> Iterator[TrackedRun]:
    """What was selected, as one run."""
    if not files.selected:
        return
    books = [
        entry for entry in map(read_ledger, files.ledgers) if entry["step"] == "select_samples"
    ]
    metrics: dict[str, float] = {}
    for entry in books:
        metrics |= {
            f"{entry['dataset']}/scored": entry["rows_in"],
            f"{entry['dataset']}/kept": entry["rows_kept"],
        }
    yield TrackedRun(
        key="selection",
        name="select samples",
        params={**flat(configuration.get("selection", {})), **seed_of(configuration)},
        metrics=metrics,
        artifacts=[*files.auroc, *files.clean_share, *files.heatmap],
        datasets=[TrackedDataset(path, "selection") for path in files.selected],
    )


def _estimate(row: Mapping[str, Any], name: str) -> dict[str, float]:
    return {"value": row[name], "low": row["low"], "high": row["high"]}


def _picked(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names}

"""Which runs there are: one for each training, sampling, evaluation, comparison and turn."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sluice.artifact_forms import (
    COMPARISON,
    EVALUATION_RESULTS,
    SAMPLING,
    TURN_SUMMARY,
    measures_of,
)
from sluice.artifacts import (
    beside_results,
    read_configuration,
    read_curves,
    suite_samples,
    trained_name,
)
from sluice.forms import read_artifact
from sluice.ledger import read_ledger
from sluice.settings.report import Artifacts
from sluice.tracking.tracked_run import Curve, TrackedDataset, TrackedRun


def gather_runs(files: Artifacts) -> list[TrackedRun]:
    """All runs, each after the one that it is nested in.

    Raises:
        DataError: a file is missing or broken.
    """
    configuration = read_configuration(files.configuration)
    return [
        *_selection(files, configuration),
        *(training_run(path, configuration) for path in files.trainings),
        *(sampling_run(path, configuration) for path in files.samplings),
        *(evaluation_run(path, configuration) for path in files.evaluations),
        *(comparison_run(path) for path in files.comparisons),
        *turn_runs(files.turns, files.calibrations),
    ]


def training_run(path: Path, configuration: Mapping[str, Any]) -> TrackedRun:
    """A training: its settings, its curve, its samples."""
    kind, content = read_curves(path)
    name = trained_name(path)
    entry = configuration.get("adapters", {}).get(name, {}) if kind == "adapter" else {}
    files = [Path(file) for file in entry.get("samples", ())]
    ledger = path.with_name("samples.ledger.json")
    return TrackedRun(
        key=f"training/{kind.replace(' ', '_')}/{name}",
        name=f"train {name} ({kind})",
        params={**_flat(entry), **_seed(configuration)},
        metrics=_numbers(content),
        curves=list(_curves(content)),
        artifacts=[path, *([ledger] if kind == "adapter" and ledger.is_file() else [])],
        datasets=[TrackedDataset(file, "training") for file in files if file.is_file()],
    )


def sampling_run(path: Path, configuration: Mapping[str, Any]) -> TrackedRun:
    """Rejection sampling of one task."""
    content = read_artifact(path, SAMPLING)
    task = path.parent.name
    prompts = Path(configuration.get("tasks", {}).get(task, {}).get("prompts", ""))
    return TrackedRun(
        key=f"sampling/{task}",
        name=f"sample {task}",
        params={**_flat(content["settings"]), **_seed(configuration)},
        metrics={**_numbers(content), **_prefixed("pass_at", content["pass_at_k"])},
        artifacts=[path],
        datasets=[TrackedDataset(prompts, "sampling")] if prompts.is_file() else [],
    )


def evaluation_run(path: Path, configuration: Mapping[str, Any]) -> TrackedRun:
    """The answers of one subject to one suite."""
    content = read_artifact(path, EVALUATION_RESULTS)
    subject, suite = content["subject"], content["suite"]
    entry = configuration.get("suites", {}).get(suite, {})
    samples, table = suite_samples(configuration, suite), beside_results(path, ".csv")
    metrics = _prefixed("accuracy", _estimate(content["overall"], "accuracy"))
    for group in content["groups"]:
        metrics |= _prefixed(f"accuracy/{group['group']}", _estimate(group, "accuracy"))
    return TrackedRun(
        key=f"evaluation/{subject}/{suite}",
        name=f"evaluate {subject} on {suite}",
        params={**_flat(entry), "subject": subject, "suite": suite, **_seed(configuration)},
        metrics={**metrics, **_prefixed("verdicts", content["verdicts"])},
        artifacts=[path, *([table] if table.is_file() else [])],
        datasets=[TrackedDataset(samples, "evaluation")] if samples.is_file() else [],
    )


def comparison_run(path: Path) -> TrackedRun:
    """Two subjects on the same items."""
    content = read_artifact(path, COMPARISON)
    metrics: dict[str, float] = {}
    for row in content["rows"]:
        numbers = _picked(row, "difference", "difference_low", "difference_high", "p_holm")
        metrics |= _prefixed(f"{row['suite']}/{row['group']}", numbers)
    beside = sorted(path.parent.glob("*.png")) + sorted(path.parent.glob("summary.md"))
    return TrackedRun(
        key=f"comparison/{content['a']}_vs_{content['b']}",
        name=f"compare {content['b']} with {content['a']}",
        params=_picked(content, "a", "b", "test", "interval"),
        metrics=metrics,
        artifacts=[path, *beside],
    )


def turn_runs(turns: Sequence[Path], calibrations: Sequence[Path]) -> Iterator[TrackedRun]:
    """The flywheel as one run, and in it a run for each turn with its scores and its cost."""
    if not turns:
        return
    wheel = "flywheel"
    yield TrackedRun(key=wheel, name=wheel, params={"num_turns": len(turns)})
    for path in turns:
        content = read_artifact(path, TURN_SUMMARY)
        number = content["turn"]
        metrics = _estimates("score", _picked(content["scores"], *measures_of(content)))
        for against in content["against"]:
            metrics |= _estimates(f"against_turn_{against['turn']}", against["differences"])
        for step, booked in content["spending"].items():
            metrics |= _prefixed(f"spending/{step}", _numbers(booked))
        training = content["training"]
        books: Mapping[str, Any] = training["ledger"] if training else {}
        yield TrackedRun(
            key=f"flywheel/turn_{number}",
            name=f"turn {number}",
            params={
                **_flat(content["settings"]),
                **_picked(content, "model", "evaluator", "interval"),
            },
            metrics={**metrics, **_prefixed("kept", _numbers(books))},
            artifacts=[path, *(each for each in calibrations if each.parent == path.parent)],
            datasets=_turn_datasets(path.parent),
            parent=wheel,
        )


def _estimates(prefix: str, measures: Mapping[str, Any]) -> dict[str, float]:
    """Value and interval of each measure."""
    found: dict[str, float] = {}
    for name, measure in measures.items():
        found |= _prefixed(f"{prefix}/{name}", _picked(measure, "value", "low", "high"))
    return found


def _turn_datasets(folder: Path) -> list[TrackedDataset]:
    """What a turn learnt from and what it was judged on."""
    known = {
        folder / "sft_train.jsonl": "training",
        folder / "heldout/simulation_data.json": "evaluation",
    }
    return [TrackedDataset(path, why) for path, why in known.items() if path.is_file()]


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
        params={**_flat(configuration.get("selection", {})), **_seed(configuration)},
        metrics=metrics,
        artifacts=[*files.auroc, *files.clean_share, *files.heatmap],
        datasets=[TrackedDataset(path, "selection") for path in files.selected],
    )


def _curves(content: Mapping[str, Any]) -> Iterator[Curve]:
    for key, name in (("losses", "loss"), ("learning_rates", "learning_rate")):
        values: Sequence[float] = content.get(key, ())
        if values:
            yield Curve(name, range(1, len(values) + 1), values)
    if content.get("eval_steps"):
        yield Curve("eval_loss", content["eval_steps"], content["eval_losses"])


def _estimate(row: Mapping[str, Any], name: str) -> dict[str, float]:
    return {"value": row[name], "low": row["low"], "high": row["high"]}


def _picked(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names}


def _prefixed(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    """Metrics in a group of their own; the value itself has the group's name."""
    return {
        prefix if name == "value" else f"{prefix}/{name}": float(value)
        for name, value in values.items()
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, with points between the keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _seed(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return {"seed": configuration["seed"]} if "seed" in configuration else {}

"""The run of a training: adapters, also those of turns, models from scratch, and quality gates."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sluice.artifacts import TRAINING_KINDS, is_of_turn, read_curves, trained_name
from sluice.tracking.figures import flat, numbers, seed_of
from sluice.tracking.tracked_run import Curve, TrackedDataset, TrackedRun


def training_run(path: Path, configuration: Mapping[str, Any]) -> TrackedRun:
    """A training: its settings, its curve, its samples.

    Args:
        path: its curve; where that lies tells what was trained, and what from.
        configuration: of the run; only what was set.
    """
    kind, content = read_curves(path)
    name = trained_name(path)
    entry = _settings(path, configuration)
    files = _samples(path, entry, configuration)
    ledger = path.with_name("samples.ledger.json")
    return TrackedRun(
        key=f"training/{kind.replace(' ', '_')}/{name}",
        name=f"train {name} ({kind})",
        params={**flat(entry), **seed_of(configuration, entry)},
        metrics=numbers(content),
        curves=list(_curves(content)),
        artifacts=[path, *([ledger] if kind == "adapter" and ledger.is_file() else [])],
        datasets=[TrackedDataset(file, "training") for file in files if file.is_file()],
        parent=f"flywheel/{name}" if is_of_turn(path) else None,
    )


def _settings(path: Path, configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was set for a training."""
    kind = TRAINING_KINDS[path.name]
    if is_of_turn(path):
        keys: tuple[str, ...] = ("flywheel", "adapter")
    elif kind == "adapter":
        keys = ("adapters", trained_name(path))
    else:
        keys = ("base",) if kind == "base model" else ("gate",)
    found: Mapping[str, Any] = configuration
    for key in keys:
        found = found.get(key, {})
    return found


def _samples(path: Path, entry: Mapping[str, Any], configuration: Mapping[str, Any]) -> list[Path]:
    """What a training learnt from, as the rules name it."""
    kind, results = TRAINING_KINDS[path.name], path.parent.parent.parent
    if is_of_turn(path):
        return [path.parent.parent / "sft_train.jsonl"]
    if kind == "adapter":
        return [Path(file) for file in entry.get("samples", ())]
    if kind == "quality gates":
        return [results / f"data/{name}/train.jsonl" for name in configuration.get("datasets", {})]
    if entry.get("text"):
        # It holds the checksums of the tokens, which may be hundreds of gigabytes.
        return [path.with_name("corpus") / "corpus.json"]
    return [results / "demo/base_corpus.jsonl"]


def _curves(content: Mapping[str, Any]) -> Iterator[Curve]:
    for key, name in (("losses", "loss"), ("learning_rates", "learning_rate")):
        values: Sequence[float] = content.get(key, ())
        if values:
            yield Curve(name, range(1, len(values) + 1), values)
    if content.get("eval_steps"):
        yield Curve("eval_loss", content["eval_steps"], content["eval_losses"])

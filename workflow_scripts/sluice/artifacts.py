"""What the report and the tracking both read out of finished files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sluice.artifact_forms import CONFIGURATION, CURVES, Configuration, Curves
from sluice.errors import DataError
from sluice.files import parse_json
from sluice.forms import read_artifact

TRAINING_KINDS = {
    "metrics.json": "adapter",
    "training_log.json": "base model",
    "warm_up_log.json": "quality gates",
}
"""The file of a training's curve -> what was trained."""

_RESULTS = ".evaluation_results.json"


def read_curves(path: Path) -> tuple[str, Curves]:
    """What was trained, and the log of its training.

    Raises:
        DataError: the file is missing, is no such log, or has another name than such logs have.
    """
    kind = TRAINING_KINDS.get(path.name)
    if kind is None:
        raise DataError(
            f"{path} has not the name of a training's log",
            expected=", ".join(TRAINING_KINDS),
        )
    return kind, read_artifact(path, CURVES)


def trained_name(curve: Path) -> str:
    """What a curve's training made: its folder's name, or the turn's for a turn's adapter."""
    return curve.parent.parent.name if is_of_turn(curve) else curve.parent.name


def is_of_turn(curve: Path) -> bool:
    """Whether a curve is that of a turn's adapter."""
    folder = curve.parent
    return folder.name == "adapter" and folder.parent.name.startswith("turn_")


def beside_results(results: Path, ending: str) -> Path:
    """What grade_answers wrote beside ``{suite}.evaluation_results.json``: ``{suite}<ending>``."""
    return results.with_name(results.name.removesuffix(_RESULTS) + ending)


def suite_samples(configuration: Mapping[str, Any], suite: str) -> Path:
    """The samples of a suite: its own file, or the one that is made of LawShift's folder."""
    entry = configuration.get("suites", {}).get(suite, {})
    return Path(entry.get("samples") or f"results/suites/{suite}.jsonl")


def read_configuration(text: str) -> Configuration:
    """The configuration of a run from JSON.

    Raises:
        DataError: it is none.
    """
    what = "the configuration"
    return CONFIGURATION.check(parse_json(text, what=what), where=what)

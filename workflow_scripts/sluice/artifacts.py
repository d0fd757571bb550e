"""What the report and the tracking both read out of finished files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sluice.errors import DataError
from sluice.files import parse_json

TRAINING_KINDS = {
    "metrics.json": "adapter",
    "training_log.json": "base model",
    "warm_up_log.json": "quality gates",
}
"""The file of a training's curve -> what was trained."""

_RESULTS = ".evaluation_results.json"


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


def read_configuration(text: str) -> dict[str, Any]:
    """The configuration of a run from JSON.

    Raises:
        DataError: it is none.
    """
    values = parse_json(text, what="the configuration")
    if not isinstance(values, dict):
        raise DataError("the configuration is no JSON object")
    return values

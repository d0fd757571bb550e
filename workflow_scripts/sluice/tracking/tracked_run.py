"""A run as it is going to stand in MLflow, made from files alone."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice.files import hash_file


@dataclass(frozen=True)
class Curve:
    """A metric over steps."""

    name: str
    steps: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True)
class TrackedDataset:
    """A file that a run read."""

    path: Path
    context: str
    """What for: training, evaluation or selection."""


@dataclass(frozen=True)
class TrackedRun:
    """Parameters, metrics, curves, files and data sets of one training, evaluation or turn."""

    key: str
    """What it is about, such as ``training/adapter/rft``; unique among the runs of a workflow."""
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[Curve] = ()
    artifacts: Sequence[Path] = ()
    datasets: Sequence[TrackedDataset] = ()
    parent: str | None = None
    """Key of the run that this one is nested in."""

    def content_hash(self) -> str:
        """SHA-256 of all that is noted, bytes of files included: equal runs are noted once."""
        content = {
            "key": self.key,
            "name": self.name,
            "params": {key: str(value) for key, value in self.params.items()},
            "metrics": dict(self.metrics),
            "curves": [
                [curve.name, list(curve.steps), list(curve.values)] for curve in self.curves
            ],
            "artifacts": [[path.name, hash_file(path)] for path in self.artifacts],
            "datasets": [[str(each.path), hash_file(each.path)] for each in self.datasets],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

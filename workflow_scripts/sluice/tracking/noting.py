"""Writes runs to MLflow, each once, whatever ran or was killed before."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sluice.files import hash_file
from sluice.logs import get_logger
from sluice.mlflow_store import open_store, unreachable
from sluice.settings.tracking import TrackResults
from sluice.tracking.tracked_run import TrackedDataset, TrackedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

logger = get_logger(__name__)

T = TypeVar("T")

HASH_TAG, KEY_TAG, LIVE_TAG = "sluice.hash", "sluice.key", "sluice.live"
_PARENT_TAG = "mlflow.parentRunId"
# What MLflow takes in one call, and at most for one value.
_METRICS_AT_ONCE, _PARAMS_AT_ONCE, _MAX_PARAM_CHARS = 1000, 100, 6000
# MLflow's digests are short.
_DIGEST_CHARS = 32


def note_runs(runs: Sequence[TrackedRun], settings: TrackResults) -> list[dict[str, str]]:
    """Notes the runs that are not in the store yet.

    Args:
        runs: each after the one that it is nested in.
        settings: store and experiment.
    Returns:
        For each run its ``key``, ``hash`` and ``run_id``.
    Raises:
        TrackingError: MLflow is not installed, or the store cannot be used.
        DataError: a file of a run is missing.
    """
    client, experiment = open_store(settings.tracking_uri, settings.experiment)
    from mlflow.exceptions import MlflowException

    noted: list[dict[str, str]] = []
    ids: dict[str, str] = {}
    num_new = 0
    try:
        for run in runs:
            digest = run.content_hash()
            parent = ids.get(run.parent) if run.parent else None
            found = _find(client, experiment, digest, parent=parent)
            num_new += found is None
            ids[run.key] = found or _note(client, experiment, run, digest=digest, parent=parent)
            noted.append({"key": run.key, "hash": digest, "run_id": ids[run.key]})
    except (MlflowException, OSError) as error:
        raise unreachable(settings.tracking_uri, error) from None
    logger.info("%d runs noted in MLflow, %d were there", num_new, len(runs) - num_new)
    return noted


def _find(
    client: "MlflowClient", experiment: str, digest: str, *, parent: str | None
) -> str | None:
    """The finished run of this content, nested where it belongs now.

    What a killed run left half noted is deleted.
    """
    query = f"tags.`{HASH_TAG}` = '{digest}'"
    finished = None
    for run in client.search_runs([experiment], filter_string=query):
        run_id = str(run.info.run_id)
        if run.info.status != "FINISHED":
            client.delete_run(run_id)
            continue
        finished = run_id
        if parent and run.data.tags.get(_PARENT_TAG) != parent:
            client.set_tag(run_id, _PARENT_TAG, parent)
    return finished


def _note(
    client: "MlflowClient", experiment: str, run: TrackedRun, *, digest: str, parent: str | None
) -> str:
    tags = {HASH_TAG: digest, KEY_TAG: run.key, **({_PARENT_TAG: parent} if parent else {})}
    run_id = str(client.create_run(experiment, run_name=run.name, tags=tags).info.run_id)
    for params in _blocks(_params(run), _PARAMS_AT_ONCE):
        client.log_batch(run_id, params=params)
    for metrics in _blocks(_metrics(run), _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=metrics)
    if run.datasets:
        client.log_inputs(run_id, [_dataset(dataset) for dataset in run.datasets])
    for path in run.artifacts:
        client.log_artifact(run_id, str(path))
    client.set_terminated(run_id, "FINISHED")
    _adopt_live_runs(client, experiment, run, run_id)
    return run_id


def _params(run: TrackedRun) -> list[Any]:
    from mlflow.entities import Param

    return [Param(key, str(value)[:_MAX_PARAM_CHARS]) for key, value in run.params.items()]


def _metrics(run: TrackedRun) -> list["Metric"]:
    """All points. Their time is that of the files, so that it is the same in every noting."""
    from mlflow.entities import Metric

    times = [path.stat().st_mtime_ns for path in run.artifacts]
    time_ms = max(times, default=0) // 1_000_000
    points = [Metric(_legal(name), value, time_ms, 0) for name, value in run.metrics.items()]
    for curve in run.curves:
        points += [
            Metric(_legal(curve.name), value, time_ms, step)
            for step, value in zip(curve.steps, curve.values, strict=True)
        ]
    return points


def _blocks(items: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _legal(name: str) -> str:
    """A name that MLflow takes: letters of all languages, digits, and few other characters."""
    return "".join(char if char.isalnum() or char in "_-. /" else "_" for char in name)


def _dataset(dataset: TrackedDataset) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    path = dataset.path
    entity = Dataset(
        name=_dataset_name(path),
        digest=hash_file(path)[:_DIGEST_CHARS],
        source_type="local",
        source=json.dumps({"uri": path.as_posix()}),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", dataset.context)])


def _dataset_name(path: Path) -> str:
    return path.as_posix().removeprefix("results/")


def _adopt_live_runs(client: "MlflowClient", experiment: str, run: TrackedRun, run_id: str) -> None:
    """Nests the run that the Trainer wrote while it trained in the finished training's run."""
    for live in client.search_runs([experiment], filter_string=f"tags.`{LIVE_TAG}` = '{run.key}'"):
        client.set_tag(live.info.run_id, _PARENT_TAG, run_id)

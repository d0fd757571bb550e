"""The live curve of a training in MLflow, and that no training depends on it."""

import pytest
from mlflow import MlflowClient
from samples_for_training import checkpoint, mixed_samples, tune

from sluice.settings.tracking import TrackResults
from sluice.tracking.noting import note_runs
from sluice.tracking.tracked_run import TrackedRun


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("live"))


def _train(folder, base, **options):
    return tune(
        folder, base, mixed_samples(8), eval_fraction=0, max_steps=4, log_every=2, **options
    )


def _bytes(outputs):
    files = (outputs.metrics, outputs.model / "adapter_model.safetensors")
    return [file.read_bytes() for file in files]


def test_curve_is_in_the_store_and_changes_nothing_that_is_learnt(tmp_path, base, monkeypatch):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "LLM_Bootstrap")
    plain = _train(tmp_path, base, name="plain")
    watched = _train(tmp_path, base, name="watched", trackers=("mlflow",))
    assert _bytes(watched) == _bytes(plain)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("LLM_Bootstrap").experiment_id
    (live,) = client.search_runs([experiment])
    assert live.info.status == "FINISHED"
    points = client.get_metric_history(live.info.run_id, "loss")
    assert sorted(point.step for point in points) == [2, 4]

    finished = TrackedRun(key=live.data.tags["sluice.live"], name="train")
    (row,) = note_runs([finished], TrackResults(tracking_uri=uri))
    adopted = client.get_run(live.info.run_id)
    assert adopted.data.tags["mlflow.parentRunId"] == row["run_id"]


def test_a_store_that_does_not_answer_costs_one_warning(tmp_path, base, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    outputs = _train(tmp_path, base, trackers=("mlflow",))
    assert (outputs.model / "adapter_model.safetensors").is_file()
    warnings = [each for each in caplog.records if "training goes on without" in each.message]
    assert len(warnings) == 1

"""Runs in a real MLflow: SQLite, many processes at once, a server, and what never gets there."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient
from report_artifacts import write_calibration, write_run, write_training, write_turn
from support import ROOT

import track_results
from sluice.cli import run
from sluice.errors import TrackingError
from sluice.settings.report import Artifacts
from sluice.settings.tracking import TrackResults
from sluice.tracking.gathering import gather_runs
from sluice.tracking.noting import KEY_TAG, note_runs
from sluice.tracking.tracked_run import Curve, TrackedDataset, TrackedRun

EXPERIMENT = "LLM_Bootstrap"
JOBS = Path(__file__).with_name("track_at_once.py")
JOB_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A SQLite store; its address."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


def noted(uri, experiment=EXPERIMENT):
    """The runs of an experiment by key."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id]) if found else []
    keys = [each.data.tags[KEY_TAG] for each in runs]
    assert len(set(keys)) == len(keys), "a run is doubled"
    return dict(zip(keys, runs, strict=True))


def small_run(folder, **changes):
    """A run with one of everything."""
    (folder / "metrics.json").write_text("{}")
    (folder / "data.jsonl").write_text("{}\n")
    values = {
        "key": "training/adapter/small",
        "name": "train small",
        "params": {"r": 8, "long": "x" * 7000},
        "metrics": {"accuracy/案件": 0.5},
        "curves": [Curve("loss", range(1, 1502), [1.0 / step for step in range(1, 1502)])],
        "artifacts": [folder / "metrics.json"],
        "datasets": [TrackedDataset(folder / "data.jsonl", "training")],
    }
    return TrackedRun(**{**values, **changes})


def test_a_run_holds_what_the_files_say(tmp_path, store):
    settings = TrackResults(tracking_uri=store, experiment="one")
    (row,) = note_runs([small_run(tmp_path)], settings)
    (found,) = noted(store, "one").values()
    assert found.info.run_id == row["run_id"]
    assert found.info.status == "FINISHED"
    assert found.data.params["r"] == "8"
    assert found.data.metrics["accuracy/案件"] == 0.5
    (data,) = found.inputs.dataset_inputs
    assert (
        data.dataset.digest
        == "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"[:32]
    )
    client = MlflowClient(store)
    history = client.get_metric_history(row["run_id"], "loss")
    assert sorted(point.step for point in history) == list(range(1, 1502))
    assert [file.path for file in client.list_artifacts(row["run_id"])] == ["metrics.json"]


def test_noting_again_doubles_nothing_and_a_change_is_noted(tmp_path, store):
    settings = TrackResults(tracking_uri=store, experiment="again")
    first = note_runs([small_run(tmp_path)], settings)
    assert note_runs([small_run(tmp_path)], settings) == first
    changed = note_runs([small_run(tmp_path, key="other", params={"r": 9})], settings)
    assert changed[0]["run_id"] != first[0]["run_id"]
    assert len(noted(store, "again")) == 2


def test_what_a_killed_noting_left_half_done_is_replaced(tmp_path, store):
    settings = TrackResults(tracking_uri=store, experiment="killed")
    (row,) = note_runs([small_run(tmp_path)], settings)
    MlflowClient(store).update_run(row["run_id"], status="RUNNING")
    (again,) = note_runs([small_run(tmp_path)], settings)
    assert again["run_id"] != row["run_id"]
    assert [each.info.run_id for each in noted(store, "killed").values()] == [again["run_id"]]


def test_eight_jobs_at_once_on_a_new_file_lose_nothing(tmp_path):
    uri = f"sqlite:///{tmp_path}/new.db"
    done = subprocess.run(
        [sys.executable, JOBS, uri, tmp_path, "8"],
        env=JOB_ENVIRONMENT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = noted(uri)
    assert set(found) == {f"job/{number}" for number in range(8)}
    client = MlflowClient(uri)
    for each in found.values():
        assert each.info.status == "FINISHED"
        assert len(client.get_metric_history(each.info.run_id, "loss")) == 50


@pytest.fixture
def server(tmp_path):
    """A real tracking server on a free port of this machine; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"),
        *("--artifacts-destination", str(tmp_path / "artifacts")),
    ]
    uri, log = f"http://127.0.0.1:{port}", tmp_path / "server.log"
    with open(log, "w") as stream:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            _wait_for(uri, process, log=log)
            yield uri
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _wait_for(uri, process, *, log):
    for _ in range(480):
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=5)
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.25)
    raise AssertionError(f"no answer: {log.read_text()}")


def test_a_tracking_server_gets_the_same_runs(tmp_path, server):
    folder = tmp_path / "run"
    folder.mkdir()
    settings = TrackResults(tracking_uri=server)
    (row,) = note_runs([small_run(folder)], settings)
    assert note_runs([small_run(folder)], settings) == [row]
    (found,) = noted(server).values()
    assert found.data.params["r"] == "8"
    files = MlflowClient(server).list_artifacts(row["run_id"])
    assert [file.path for file in files] == ["metrics.json"]
    assert list((tmp_path / "artifacts").rglob("metrics.json"))


def test_a_server_that_is_not_there_is_our_message(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match="the MLflow store cannot be used") as error:
        note_runs([small_run(tmp_path)], TrackResults(tracking_uri="http://127.0.0.1:9"))
    assert "tracking.enabled: false" in error.value.hint


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The script on every kind of artifact, with keys in the environment: store, its folder."""
    folder = tmp_path_factory.mktemp("whole")
    files = write_run(folder)
    uri = f"sqlite:///{folder}/store/mlflow.db"
    words = ["--tracking-uri", uri, "--output", str(folder / "tracked_runs.json")]
    words += ["--configuration", files.configuration]
    for name in ("ledgers", "selected", "trainings", "samplings", "evaluations", "comparisons",
                 "turns", "calibrations"):  # fmt: skip
        words += [f"--{name}", *map(str, getattr(files, name))]
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("OPENAI_API_KEY", "HF_TOKEN", "DEEPSEEK_API_KEY"):
            patch.setenv(variable, "sk-planted-in-the-environment")
        run(track_results.Arguments, track_results.main, words)
    return uri, folder


def test_every_training_evaluation_and_turn_is_a_run(whole):
    uri, folder = whole
    found = noted(uri)
    assert set(found) == {
        "selection", "training/adapter/tuned", "sampling/quiz", "evaluation/base/quiz",
        "evaluation/tuned/quiz", "comparison/base_vs_tuned", "flywheel", "flywheel/turn_0",
        "flywheel/turn_1", "flywheel/turn_1/calibration",
    }  # fmt: skip
    rows = json.loads((folder / "tracked_runs.json").read_text())["runs"]
    assert {row["key"]: row["run_id"] for row in rows} == {
        key: each.info.run_id for key, each in found.items()
    }
    assert found["evaluation/tuned/quiz"].data.metrics["accuracy"] == 0.75
    assert found["evaluation/tuned/quiz"].data.metrics["accuracy/g/high"] == 0.9
    assert found["training/adapter/tuned"].data.metrics["eval_loss"] == 0.75
    assert found["training/adapter/tuned"].data.params["seed"] == "7"


def test_turns_are_nested_in_the_flywheel(whole):
    found = noted(whole[0])
    wheel = found["flywheel"].info.run_id
    for turn in (0, 1):
        assert found[f"flywheel/turn_{turn}"].data.tags["mlflow.parentRunId"] == wheel
    metrics = found["flywheel/turn_1"].data.metrics
    assert metrics["score/mean"] == 4
    assert metrics["against_turn_0/mean/low"] == 0.75
    assert metrics["spending/judge_held_out/cost"] == 0.25
    assert metrics["kept/rows_kept"] == 4
    calibration = found["flywheel/turn_1/calibration"].data
    assert calibration.tags["mlflow.parentRunId"] == found["flywheel/turn_1"].info.run_id
    assert calibration.metrics == {
        "judge/flip_rate": 0.25, "judge/flip_rate/low": 0.0, "judge/flip_rate/high": 0.5,
    }  # fmt: skip


WHEEL_CONFIGURATION = {
    "seed": 7,
    "datasets": {"cats": {}, "dogs": {}},
    "adapters": {"tuned": {"r": 4, "seed": 9}},
    "base": {"num_steps": 80},
    "gate": {"model": "base", "warm_up_steps": 15},
    "flywheel": {"model": "small", "adapter": {"r": 16}},
}


def write_wheel(results, *, num_turns):
    """Turns 0 to `num_turns`, trained from 1 on; of the last the judges are calibrated."""
    folders = [results / f"flywheel/turn_{turn}" for turn in range(num_turns + 1)]
    trainings = []
    for folder in folders[1:]:
        trainings.append(write_training(folder / "adapter"))
        (folder / "sft_train.jsonl").write_text(f"{folder.name}\n")
    return Artifacts(
        configuration=json.dumps(WHEEL_CONFIGURATION),
        trainings=tuple(trainings),
        turns=tuple(write_turn(folder, turn) for turn, folder in enumerate(folders)),
        calibrations=(write_calibration(folders[-1]),),
    )


def test_turns_that_are_added_join_those_that_are_there(tmp_path):
    """Two turns, then three: one flywheel, one run of each turn, each where it belongs."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    settings = TrackResults(tracking_uri=uri)
    note_runs(gather_runs(write_wheel(tmp_path, num_turns=2)), settings)
    before = noted(uri)
    note_runs(gather_runs(write_wheel(tmp_path, num_turns=3)), settings)
    after = noted(uri)
    assert after.keys() - before.keys() == {
        "flywheel/turn_3", "flywheel/turn_3/calibration", "training/adapter/turn_3",
    }  # fmt: skip
    for key, run_before in before.items():
        assert after[key].info.run_id == run_before.info.run_id
    ids = {key: each.info.run_id for key, each in after.items()}
    parents = {key: each.data.tags.get("mlflow.parentRunId") for key, each in after.items()}
    assert parents.pop("flywheel") is None
    for key, parent in parents.items():
        turn = re.search(r"turn_\d", key)[0]
        is_turn = key == f"flywheel/{turn}"
        assert parent == ids["flywheel" if is_turn else f"flywheel/{turn}"], key


def test_a_run_that_is_there_is_nested_when_its_parent_comes(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    settings = TrackResults(tracking_uri=uri)
    files = write_wheel(tmp_path, num_turns=1)
    note_runs(gather_runs(files.model_copy(update={"turns": (), "calibrations": ()})), settings)
    assert "mlflow.parentRunId" not in noted(uri)["training/adapter/turn_1"].data.tags
    note_runs(gather_runs(files), settings)
    found = noted(uri)
    parent = found["training/adapter/turn_1"].data.tags["mlflow.parentRunId"]
    assert parent == found["flywheel/turn_1"].info.run_id


def test_every_training_has_its_settings_and_its_data(tmp_path):
    files = write_wheel(tmp_path, num_turns=1)
    curves = {
        "training_log.json": "base/base",
        "warm_up_log.json": "gate/base",
        "metrics.json": "adapters/tuned",
    }
    trainings = list(files.trainings)
    for name, folder in curves.items():
        written = write_training(tmp_path / folder)
        trainings.append(written.rename(written.with_name(name)))
    for name in ("demo/base_corpus.jsonl", "data/cats/train.jsonl", "data/dogs/train.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    runs = {run.key: run for run in gather_runs(files.model_copy(update={"trainings": trainings}))}
    expected = {
        "training/adapter/turn_1": ({"r": 16, "seed": 7}, ["flywheel/turn_1/sft_train.jsonl"]),
        "training/adapter/tuned": ({"r": 4, "seed": 9}, []),
        "training/base_model/base": ({"num_steps": 80, "seed": 7}, ["demo/base_corpus.jsonl"]),
        "training/quality_gates/base": (
            {"model": "base", "warm_up_steps": 15, "seed": 7},
            ["data/cats/train.jsonl", "data/dogs/train.jsonl"],
        ),
    }
    for key, (params, data) in expected.items():
        assert runs[key].params == params
        assert [each.path for each in runs[key].datasets] == [tmp_path / name for name in data]


def test_a_base_model_of_text_has_its_corpus(tmp_path):
    written = write_training(tmp_path / "base/mine")
    log = written.rename(written.with_name("training_log.json"))
    corpus = tmp_path / "base/mine/corpus/corpus.json"
    corpus.parent.mkdir()
    corpus.write_text("{}")
    text = json.dumps({"base": {"text": ["books.jsonl"]}})
    (run_of_text,) = gather_runs(Artifacts(configuration=text, trainings=(log,)))
    assert [each.path for each in run_of_text.datasets] == [corpus]


def test_keys_of_the_environment_are_nowhere_in_the_store(whole):
    _, folder = whole
    files = [file for file in (folder / "store").rglob("*") if file.is_file()]
    assert len(files) > 5
    for file in files:
        assert b"sk-planted" not in file.read_bytes(), file


def test_a_missing_artifact_is_named(tmp_path):
    files = write_run(tmp_path)
    files.trainings[0].unlink()
    with pytest.raises(Exception, match=r"metrics\.json does not exist"):
        gather_runs(files)


def test_tracking_off_imports_nothing_of_mlflow():
    program = (
        "import sys, sluice.config, sluice.mlflow_store, sluice.tracking.noting;"
        "sys.exit(any(name.partition('.')[0] == 'mlflow' for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], env=JOB_ENVIRONMENT, check=True)

"""Whole runs: as a user starts them, killed and started again, with wrong input."""

import json
import logging
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from core_bundles import language_items, write_bundle, write_items
from support import ROOT
from tiny_models import write_tiny_checkpoint

from sluice.core_metric.decisions import Decision
from sluice.core_metric.model import context_tokens, load_model
from sluice.core_metric.notes import Notes
from sluice.core_metric.runs import evaluate_core
from sluice.errors import ConfigError, DataError, DeviceError, ModelError
from sluice.sealed_lines import read_sealed, seal
from sluice.settings.core_metric import EvaluateCore

SCRIPT = ROOT / "workflow_scripts/evaluate_core.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


def command(folder, bundle, model, *flags):
    paths = ["--table", folder / "core.csv", "--items", folder / "items.jsonl"]
    words = ["--bundle", bundle, "--hf-path", model, *paths, "--state-dir", folder / "state"]
    return [sys.executable, SCRIPT, *map(str, words), *flags]


def start(folder, bundle, model, *flags):
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        command(folder, bundle, model, *flags), env=ENVIRONMENT, capture_output=True, text=True
    )


def without_seconds(folder):
    return pd.read_csv(folder / "core.csv").drop(columns="seconds")


def test_run_writes_the_table_and_every_decision(tmp_path, checkpoint):
    done = start(tmp_path / "run", write_bundle(tmp_path / "b"), checkpoint)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "run/core.csv").set_index("task")
    assert list(table.index) == ["capitals", "boxes", "recall", "CORE_v1", "CORE_v2"]
    assert set(table["status"]) == {"complete"}
    with open(tmp_path / "run/items.jsonl", encoding="utf-8") as stream:
        items = pd.DataFrame(json.loads(line) for line in stream)
    assert len(items) == 36
    accuracies = items.groupby("task")["is_correct"].mean()
    assert accuracies.to_dict() == pytest.approx(table["accuracy"].dropna().to_dict())
    assert sorted(items[items["task"] == "boxes"]["line"]) == list(range(1, 13))
    assert not list((tmp_path / "run/state").iterdir()), "progress is forgotten once it is written"


def test_run_that_is_killed_goes_on_and_gives_the_same(tmp_path, checkpoint):
    bundle = write_bundle(tmp_path / "b", num_items=60)
    flags = ("--max-batch-tokens", "1000")
    undisturbed = start(tmp_path / "whole", bundle, checkpoint, *flags)
    assert undisturbed.returncode == 0, undisturbed.stderr

    folder = tmp_path / "killed"
    folder.mkdir()
    process = subprocess.Popen(
        command(folder, bundle, checkpoint, *flags), env=ENVIRONMENT, stderr=subprocess.DEVNULL
    )
    notes = wait_for_notes(folder / "state", lines=5, process=process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "core.csv").exists()
    kept = sum(len(entry["decisions"]) for entry in read_sealed(notes))
    assert 0 < kept < 180

    again = start(folder, bundle, checkpoint, *flags)
    assert again.returncode == 0, again.stderr
    assert f"{kept} of 180 items were decided by an earlier run" in again.stderr
    pd.testing.assert_frame_equal(without_seconds(folder), without_seconds(tmp_path / "whole"))
    assert (folder / "items.jsonl").read_bytes() == (tmp_path / "whole/items.jsonl").read_bytes()


def wait_for_notes(state, *, lines, process):
    """The file of the running evaluation's notes, once it holds so many lines."""
    for _ in range(6000):
        assert process.poll() is None, "it ended before it could be killed"
        for path in state.glob("*/decisions.jsonl"):
            if path.read_bytes().count(b"\n") >= lines:
                return path
        time.sleep(0.01)
    raise AssertionError("no notes came")


def test_torn_line_of_the_notes_is_forgotten(tmp_path):
    path = tmp_path / "decisions.jsonl"
    first, second = Decision(3, True, 1, (2.0, 1.0)), Decision(4, False, None, (None, 0.5))
    with Notes(path) as notes:
        notes.add("a", [first, second])
        notes.add("b", [first])
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with Notes(path) as notes:
        assert notes.decisions == {"a": {3: first, 4: second}}
        assert notes.num_decisions == 2
        notes.add("b", [first])
    with Notes(path) as notes:
        assert notes.decisions["b"] == {3: first}


def test_seconds_of_all_runs_are_added_up(tmp_path):
    path = tmp_path / "decisions.jsonl"
    entry = {"task": "a", "seconds": 2.5, "decisions": [[0, True, 0, [1.0]]]}
    path.write_bytes(seal(entry) + seal(entry | {"seconds": 1.0}))
    with Notes(path) as notes:
        assert notes.seconds["a"] == 3.5


def run_here(folder, bundle, model, **settings):
    """The same within this process; returns what came out."""
    paths = {"table": folder / "core.csv", "items": folder / "items.jsonl"}
    return evaluate_core(
        str(model),
        revision=None,
        device="cpu",
        settings=EvaluateCore(bundle=bundle and str(bundle), **settings),
        state_root=folder / "state",
        **paths,
    )


def test_progress_is_used_by_the_same_run_only(tmp_path, checkpoint, caplog):
    caplog.set_level(logging.INFO, logger="sluice")
    bundle = write_bundle(tmp_path / "b")
    (tmp_path / "core.csv").mkdir()  # so that the run fails once everything is decided
    with pytest.raises(DataError, match="is a folder"):
        run_here(tmp_path, bundle, checkpoint)
    (tmp_path / "core.csv").rmdir()
    run_here(tmp_path, bundle, checkpoint, max_per_task=6)
    assert "earlier run" not in caplog.text
    write_items(bundle, "recall", language_items(13))
    run_here(tmp_path, bundle, checkpoint)
    assert "earlier run" not in caplog.text, "other data"
    write_items(bundle, "recall", language_items(12))
    run_here(tmp_path, bundle, checkpoint)
    assert "36 of 36 items were decided by an earlier run" in caplog.text


def test_missing_data_is_one_message_and_can_be_allowed(tmp_path, checkpoint):
    bundle = write_bundle(tmp_path / "b", without=("boxes",))
    done = start(tmp_path / "run", bundle, checkpoint)
    assert done.returncode == 1
    assert done.stderr.startswith("DataError: the data of 1 of 3 tasks is missing: boxes")
    assert not (tmp_path / "run/core.csv").exists()
    run_here(tmp_path / "run", bundle, checkpoint, allow_missing=True)
    status = pd.read_csv(tmp_path / "run/core.csv").set_index("task")["status"]
    assert status["boxes"] == "missing"
    assert status["CORE_v2"] == "partial: 2 of 3 tasks"


def test_run_without_a_bundle_is_an_error(tmp_path, checkpoint):
    with pytest.raises(ConfigError, match="no evaluation bundle is named"):
        run_here(tmp_path, None, checkpoint)


@pytest.mark.parametrize(
    ("device", "message"), [("warp", "'warp' is no device"), ("cuda:9", "usable GPUs")]
)
def test_device_that_is_not_there_is_an_error(checkpoint, device, message):
    with pytest.raises(DeviceError, match=message):
        load_model(str(checkpoint), revision=None, device=device, precision="auto")


def test_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="no causal language model"):
        load_model(str(tmp_path), revision=None, device="cpu", precision="auto")


def test_precision_is_the_one_asked_for(checkpoint):
    for precision, dtype in (("auto", torch.float32), ("bfloat16", torch.bfloat16)):
        model, _ = load_model(str(checkpoint), revision=None, device="cpu", precision=precision)
        assert model.dtype == dtype
        assert context_tokens(model) == 1024

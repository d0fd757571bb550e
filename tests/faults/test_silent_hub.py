"""A hub that takes connections and never answers is an error of ours, not a step that hangs."""

import os
import socket
import subprocess
import sys

import pytest
from support import ROOT

STEPS = {
    "convert_checkpoint": ("--model=someone/model", "--save-path={folder}/gated"),
    "convert_dataset": (
        "--hub=someone/data", "--dataset=x", "--samples={folder}/x.jsonl",
        "--ledger={folder}/x.json", "--rejected={folder}/x.rejected.jsonl",
    ),
    "evaluate_tokenizer": (
        "--tokenizer=someone/model", "--table={folder}/t.csv", "--picture={folder}/t.png",
    ),
}  # fmt: skip


@pytest.fixture
def silent_hub():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)  # the kernel takes the connections; nobody answers
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("script", STEPS)
def test_a_step_says_that_the_hub_does_not_answer(script, silent_hub, tmp_path):
    words = [word.format(folder=tmp_path) for word in STEPS[script]]
    environment = {
        **os.environ,
        "HF_ENDPOINT": silent_hub,
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        "HF_HUB_ETAG_TIMEOUT": "1",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
    }
    done = subprocess.run(
        [sys.executable, ROOT / f"workflow_scripts/{script}.py", *words],
        env=environment,
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "Error: " in done.stderr
    assert "someone/" in done.stderr
    assert "Traceback" not in done.stderr, done.stderr

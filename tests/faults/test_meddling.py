"""Two runs at once, a clock that was set back, outputs that were cut: the same bytes in the end."""

import base64
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from small_run import BRIEF_CONFIG, TARGETS, artifacts, finish, prepare, start
from support import snakemake


@pytest.fixture
def folder(tmp_path):
    return prepare(tmp_path / "sluice", BRIEF_CONFIG)


def test_a_second_run_is_refused_and_does_not_disturb_the_first(folder, whole):
    first = start(folder, "--until", "train_tokenizer")
    deadline = time.monotonic() + 60
    while not list((folder / ".snakemake" / "locks").glob("*")):
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGSTOP)  # or it might come to its end before the second begins
    words = ("--cores", "2", "--configfile", "small.yaml", "--", *TARGETS)
    try:
        assert "Directory cannot be locked" in snakemake(folder, *words, is_ok=False).stdout
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    assert first.wait() == 0
    made = artifacts(folder)
    assert "tokenizer/base/tokenizer.json" in made
    assert made.items() <= artifacts(whole).items()


def test_a_clock_that_was_set_back_is_named_and_the_shown_command_mends_it(folder, whole):
    """What was made before then seems to come from the future."""
    assert start(folder, "--until", "train_tokenizer").wait() == 0
    ahead = time.time() + 3600
    for path in (folder / "results").rglob("*"):
        os.utime(path, (ahead, ahead), follow_symlinks=False)
    assert start(folder).wait() != 0
    said = (folder / "run.log").read_text()
    assert "ClockError: files of results/ seem to come from the future" in said
    command = said[said.rindex("find results") :].splitlines()[0]
    subprocess.run(["bash", "-c", command], cwd=folder, check=True)
    made = artifacts(finish(folder, "--until", "train_base_model"))
    assert made.items() <= artifacts(whole).items()
    last = (folder / "run.log").read_text().removeprefix(said)
    assert "rule train_base_model" in last
    assert "rule train_tokenizer" not in last


def test_outputs_of_an_unfinished_job_are_made_anew(whole, tmp_path):
    """A machine that went down: the job is marked as unfinished, and its files are cut short."""
    folder = Path(shutil.copytree(whole, tmp_path / "sluice", symlinks=True))
    for name in ("selected_data.jsonl", "router_data/cases_router_data.pt"):
        file = folder / "results" / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        mark_unfinished(folder, f"results/{name}")
    assert artifacts(finish(folder)) == artifacts(whole)


def mark_unfinished(folder, name):
    """As Snakemake does while a job runs: a record named by the path in base64."""
    record = base64.urlsafe_b64encode(name.encode()).decode()
    (folder / ".snakemake" / "incomplete" / record).write_text("null")

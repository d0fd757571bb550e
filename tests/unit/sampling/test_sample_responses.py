"""The script as users run it, on a tiny random model."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support import ROOT
from tiny_models import write_tiny_checkpoint

from sluice.records import Sample, write_samples

NUM_PROMPTS, NUM_SAMPLES = 24, 4
SCRIPT = ROOT / "workflow_scripts" / "sample_responses.py"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A tiny model, and questions that any completion with an ``e`` answers."""
    folder = tmp_path_factory.mktemp("inputs")
    write_tiny_checkpoint(folder / "model", seed=3)
    samples = [
        Sample(
            messages=[{"role": "user", "content": f"What is {n} + {n}?" + "!" * (n % 5)}],
            dataset="sums",
            id=f"sums_{n}",
            reference={"answer": "e"},
        )
        for n in range(NUM_PROMPTS)
    ]
    write_samples(folder / "train.jsonl", samples)
    return folder


def _words(inputs, target, *more):
    return [
        sys.executable,
        str(SCRIPT),
        *("--model_path", str(inputs / "model")),
        *("--training_data", str(inputs / "train.jsonl")),
        *("--output", str(target / "sampled_data.json")),
        *("--num_samples", str(NUM_SAMPLES), "--temperature", "1.5", "--top_p", "0.99"),
        *("--max_new_tokens", "40", "--device", "cpu", "--batch-size", "8"),
        *("--grader", "regex", "--pattern", "(e)"),
        *("--state-dir", str(target / "state")),
        *more,
    ]


def _run(inputs, target, *more, is_ok=True):
    done = subprocess.run(
        _words(inputs, target, *more), cwd=ROOT, capture_output=True, text=True, env=_environment()
    )
    assert (done.returncode == 0) == is_ok, done.stderr
    return done.stderr


def _environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def _files(target):
    """All outputs; of the numbers without the one that a clock gives."""
    files = {path.name: path.read_bytes() for path in target.iterdir() if path.is_file()}
    numbers = json.loads(files.pop("sampling_stats.json"))
    assert numbers.pop("seconds") > 0
    return {**files, "numbers": numbers}


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory):
    target = tmp_path_factory.mktemp("undisturbed")
    _run(inputs, target)
    return target


def test_all_files_are_there_and_some_completions_are_kept(undisturbed):
    files = _files(undisturbed)
    assert sorted(files) == [
        "accepted.jsonl",
        "completions.jsonl",
        "numbers",
        "sampled_data.json",
        "sampled_data.ledger.json",
        "sampled_data.rejected.jsonl",
    ]
    numbers = files["numbers"]
    assert numbers["generated"] == NUM_PROMPTS * NUM_SAMPLES
    assert 0 < numbers["accepted"] < numbers["generated"]
    assert numbers["accepted"] == len(json.loads(files["sampled_data.json"]))
    assert numbers["accepted"] == len(files["accepted.jsonl"].splitlines())
    assert sum(numbers["rejected"].values()) == numbers["generated"] - numbers["accepted"]
    assert not list((undisturbed / "state").iterdir())


def test_statistics_say_what_was_sampled_from_what(inputs, undisturbed):
    used = _files(undisturbed)["numbers"]["settings"]
    where = {"model": str(inputs / "model"), "revision": None, "adapter": None, "seed": 42}
    assert {name: used[name] for name in where} == where
    assert used["prompts"] == str(inputs / "train.jsonl")
    assert used["temperature"] == 1.5


def _wait_for_notes(process, state, *, num_lines):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        notes = list(state.rglob("completions.jsonl"))
        if notes and notes[0].read_bytes().count(b"\n") >= num_lines:
            return
        time.sleep(0.005)
    raise AssertionError("no progress was noted")


def test_after_sigkill_a_rerun_gives_the_same_bytes_and_does_only_the_rest(
    inputs, undisturbed, tmp_path
):
    with subprocess.Popen(
        _words(inputs, tmp_path), cwd=ROOT, env=_environment(), stderr=subprocess.PIPE
    ) as process:
        _wait_for_notes(process, tmp_path / "state", num_lines=16)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "sampled_data.json").exists()
    (notes,) = (tmp_path / "state").rglob("completions.jsonl")
    num_done = notes.read_bytes().count(b"\n")
    # A second blow, in the middle of a line.
    notes.write_bytes(notes.read_bytes() + b'{"index": 3, "te')
    log = _run(inputs, tmp_path)
    assert 16 <= num_done < NUM_PROMPTS * NUM_SAMPLES
    assert f"{num_done} of 96 completions are there already" in log
    assert _files(tmp_path) == _files(undisturbed)
    assert not list((tmp_path / "state").iterdir())


_NOTES_AFTER_EACH_TOKEN = """
import runpy, sys
sys.path.insert(0, "workflow_scripts")
from sluice.engines import batch_notes
batch_notes.SAVE_EVERY_S = batch_notes._PAUSE_PER_SAVE = 0
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _stop_in_the_middle_of_a_batch(process, state):
    """Kills the process while a batch is noted of which no completion is noted."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGSTOP)
        notes = list(state.rglob("completions.jsonl"))
        num_done = notes[0].read_bytes().count(b'"index"') if notes else 0
        if num_done % 8 == 0 and list(state.rglob("rows.pt")):
            process.kill()
            return num_done
        process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    raise AssertionError("no batch was noted")


def test_after_sigkill_in_a_batch_a_rerun_goes_on_in_its_middle(inputs, undisturbed, tmp_path):
    python, *words = _words(inputs, tmp_path)
    with subprocess.Popen(
        [python, "-c", _NOTES_AFTER_EACH_TOKEN, *words], cwd=ROOT, env=_environment()
    ) as process:
        num_done = _stop_in_the_middle_of_a_batch(process, tmp_path / "state")
    log = _run(inputs, tmp_path)
    assert "going on in the middle of a batch of 8 completions: " in log
    assert (f"{num_done} of 96 completions are there already" in log) == (num_done > 0)
    assert _files(tmp_path) == _files(undisturbed)
    assert not list((tmp_path / "state").iterdir())


def test_progress_of_other_settings_is_not_used(inputs, undisturbed, tmp_path):
    with subprocess.Popen(
        _words(inputs, tmp_path), cwd=ROOT, env=_environment(), stderr=subprocess.PIPE
    ) as process:
        _wait_for_notes(process, tmp_path / "state", num_lines=1)
        os.kill(process.pid, signal.SIGKILL)
    log = _run(inputs, tmp_path, "--seed", "7")
    assert "are there already" not in log
    assert _files(tmp_path)["completions.jsonl"] != _files(undisturbed)["completions.jsonl"]


def test_batch_size_changes_no_completion(inputs, undisturbed, tmp_path):
    _run(inputs, tmp_path, "--batch-size", "100")
    files, expected = _files(tmp_path), _files(undisturbed)
    assert files["numbers"].pop("settings") != expected["numbers"].pop("settings")
    assert files == expected


def test_fewer_prompts_are_a_part_of_all(inputs, undisturbed, tmp_path):
    _run(inputs, tmp_path, "--num-prompts", "5")
    lines = _files(tmp_path)["completions.jsonl"].splitlines()
    assert len(lines) == 5 * NUM_SAMPLES
    everything = _files(undisturbed)["completions.jsonl"].splitlines()
    assert lines == [line for line in everything if line in set(lines)]


def test_law_cases_are_graded_by_charge_and_term(inputs, tmp_path):
    case = {"fact": "偷车。", "relevant_articles": ["1"], "charge": "盗窃罪", "prison_time": 7}
    (tmp_path / "cases.json").write_text(json.dumps([case, {**case, "fact": "偷灯。"}]))
    (tmp_path / "articles.json").write_text(json.dumps({"1": "盗窃的……"}))
    words = [
        *("--model-path", str(inputs / "model")),
        *("--training-data", str(tmp_path / "cases.json")),
        *("--articles", str(tmp_path / "articles.json")),
        *("--output", str(tmp_path / "out" / "mine.json"), "--num-samples", "3"),
        *("--max-new-tokens", "8", "--tensor-parallel-size", "1"),
        *("--gpu-memory-utilization", "0.5", "--state-dir", str(tmp_path / "state")),
    ]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=_environment(),
    )
    assert done.returncode == 0, done.stderr
    assert "graded by legal_judgment" in done.stderr
    assert json.loads((tmp_path / "out" / "mine.json").read_text()) == []
    numbers = json.loads((tmp_path / "out" / "sampling_stats.json").read_text())
    assert (numbers["samples"], numbers["generated"]) == (2, 6)
    assert numbers["settings"]["grader"] == "legal_judgment"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--training_data", "nowhere.jsonl"), "nowhere.jsonl does not exist"),
        (("--grader", "legal_judgment", "--pattern", "None"), "GradingError"),
        (("--model_path", "nowhere/model"), "nowhere/model"),
        (("--engine", "vllm"), "envs/vllm.yaml"),
        (("--device", "cuda:7"), "usable GPUs"),
        (("--engine", "openai", "--precision", "float32"), "whose server chooses its precision"),
        (("--temperature", "0"), "'num_samples' is 4 at temperature 0"),
    ],
)
def test_mistake_is_one_message_without_traceback(inputs, tmp_path, more, message):
    log = _run(inputs, tmp_path, *more, is_ok=False)
    assert message in log
    assert "Traceback" not in log
    assert not (tmp_path / "sampled_data.json").exists()


def test_second_output_in_a_folder_is_refused_before_it_is_sampled(inputs, undisturbed):
    before = _files(undisturbed)
    said = _run(inputs, undisturbed, "--output", str(undisturbed / "b.json"), is_ok=False)
    assert "DataError: " in said
    assert "accepted.jsonl is there already, and is not that of b.json" in said
    assert "Hint: give --output a folder of its own" in said
    assert not any((undisturbed / "state").iterdir())
    assert _files(undisturbed) == before


def test_output_that_is_a_folder_is_refused_before_it_is_sampled(inputs, tmp_path):
    (tmp_path / "b.json").mkdir()
    said = _run(inputs, tmp_path, "--output", str(tmp_path / "b.json"), is_ok=False)
    assert "DataError: " in said
    assert "b.json is a folder" in said
    assert not (tmp_path / "accepted.jsonl").exists()


def test_rerun_of_an_output_replaces_its_files(inputs, undisturbed):
    before = _files(undisturbed)
    _run(inputs, undisturbed)
    assert _files(undisturbed) == before

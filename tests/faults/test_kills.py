"""A run that is ended a hundred times comes to the same bytes as one that was left alone.

`python benchmarks/kill_runs.py builtin --kills 100` does the same with a run of more work.
"""

import random
import signal
from functools import partial

import pytest
from disturbing import disturb
from small_run import BRIEF_CONFIG, artifacts, begin_anew, finish, prepare, start, unlock

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
NUM_ENDINGS = 100


@pytest.fixture(scope="module")
def disturbed(undisturbed, tmp_path_factory):
    """A run that is ended at random moments and begins anew whenever it comes to its end.

    What became of each start, what each whole run has made, and the steps that went on from the
    progress of an interrupted one.
    """
    folder = prepare(tmp_path_factory.mktemp("killed") / "sluice", BRIEF_CONFIG)
    longest_cpu_s = undisturbed[1] / 4
    drawn = random.Random(6)
    disturbances, runs, resumed = [], [], set()
    while len(endings(disturbances)) < NUM_ENDINGS:
        each = disturb(
            partial(start, folder),
            folder,
            signals=SIGNALS,
            longest_cpu_s=longest_cpu_s,
            drawn=drawn,
        )
        disturbances.append(each)
        resumed |= resumed_steps(folder)
        if each.status == 0:
            runs.append(artifacts(folder))
            begin_anew(folder)
        else:
            assert each.is_sent, (folder / "run.log").read_text()[-6000:]
            unlock(folder)
    runs.append(artifacts(finish(folder)))
    return disturbances, runs, resumed


def endings(disturbances):
    """Those that ended a run before its time."""
    return [each for each in disturbances if each.status != 0]


def resumed_steps(folder):
    """Steps whose last log says that they went on from where another had been interrupted."""
    logs = (folder / "logs").rglob("*.log")
    return {log.parent.name for log in logs if "of an interrupted run" in log.read_text()}


def test_each_signal_ended_steps_at_their_work(disturbed):
    disturbances, _, _ = disturbed
    in_step = [each.signal for each in endings(disturbances) if each.is_in_step]
    assert len(in_step) >= NUM_ENDINGS / 2
    assert set(in_step) == set(SIGNALS)


def test_no_process_outlives_its_run(disturbed):
    disturbances, _, _ = disturbed
    assert [each for each in disturbances if each.survivors] == []


def test_training_goes_on_from_its_progress(disturbed):
    _, _, resumed = disturbed
    assert resumed & {"train_base_model", "fine_tune"}


def test_disturbed_runs_end_with_the_bytes_of_an_undisturbed_one(disturbed, whole):
    _, runs, _ = disturbed
    assert len(runs) >= 2
    expected = artifacts(whole)
    for found in runs:
        assert {name for name in expected if expected[name] != found.get(name)} == set()
        assert set(found) == set(expected), "files that nobody asked for"

"""A run that is ended again and again comes to the same bytes as one that was left alone.

`python benchmarks/kill_runs.py --kills 100` does the same for longer.
"""

import random
import signal
from functools import partial

import pytest
from disturbing import disturb
from small_run import artifacts, finish, prepare, start

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory):
    """A run that was ended at ten random moments, then finished; and what each one left."""
    folder = prepare(tmp_path_factory.mktemp("killed") / "sluice")
    drawn = random.Random(6)
    disturbances = []
    for _ in range(10):
        disturbances.append(
            disturb(partial(start, folder), folder, signals=SIGNALS, longest_s=16, drawn=drawn)
        )
        start(folder, "--unlock").wait()
    return finish(folder), disturbances


def test_most_runs_were_ended_before_their_time(disturbed):
    _, disturbances = disturbed
    assert sum(each.status != 0 for each in disturbances) >= 5
    assert {each.signal for each in disturbances if each.status != 0} == set(SIGNALS)


def test_no_process_outlives_its_run(disturbed):
    _, disturbances = disturbed
    assert [each for each in disturbances if each.survivors] == []


def test_a_disturbed_run_ends_with_the_bytes_of_an_undisturbed_one(disturbed, whole):
    folder, _ = disturbed
    expected, found = artifacts(whole), artifacts(folder)
    assert {name for name in expected if expected[name] != found.get(name)} == set()
    assert set(found) == set(expected), "files that nobody asked for"

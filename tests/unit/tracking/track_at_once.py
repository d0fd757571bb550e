"""Notes runs in as many processes, all at the same moment: track_at_once.py <uri> <folder> <count>.

MLflow is loaded once, before the processes part: loading it takes longer than all that is tested.
"""

import os
import sys
from pathlib import Path

import mlflow  # noqa: F401

from sluice.settings.tracking import TrackResults
from sluice.tracking.noting import note_runs
from sluice.tracking.tracked_run import Curve, TrackedRun


def _note(uri, folder, number):
    artifact = Path(folder) / f"artifact_{number}.txt"
    artifact.write_text(str(number))
    curve = Curve("loss", range(1, 51), [float(step) for step in range(50)])
    run = TrackedRun(
        key=f"job/{number}", name=f"job {number}", curves=[curve], artifacts=[artifact]
    )
    note_runs([run], TrackResults(tracking_uri=uri))


uri, folder, count = sys.argv[1:]
children = []
for number in range(int(count)):
    child = os.fork()
    if child == 0:
        _note(uri, folder, number)
        sys.exit(0)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
sys.exit(any(codes))

"""Notes finished trainings, evaluations and turns in MLflow, each once.

python workflow_scripts/track_results.py --trainings results/adapters/rft/metrics.json \
    --tracking-uri sqlite:///results/mlflow.db --output tracked_runs.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.files import write_json
from sluice.settings.base import narrow
from sluice.settings.report import Artifacts
from sluice.settings.tracking import TrackResults


class Arguments(Artifacts, TrackResults):
    """Note finished results in MLflow."""

    output: Path
    """Which runs stand for what, JSON."""


def main(arguments: Arguments) -> None:
    """Gathers the runs, notes those that are new, writes where they are."""
    from sluice.tracking.gathering import gather_runs
    from sluice.tracking.noting import note_runs

    settings = narrow(arguments, TrackResults)
    runs = note_runs(gather_runs(narrow(arguments, Artifacts)), settings)
    write_json(arguments.output, {**settings.model_dump(), "runs": runs})


if __name__ == "__main__":
    run(Arguments, main)

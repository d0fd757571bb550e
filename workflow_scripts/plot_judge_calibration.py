"""Draws how far the judges can be trusted.

python workflow_scripts/plot_judge_calibration.py --calibration judge_calibration.json \
    --picture judge_calibration.png
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Draw the calibration of the judges."""

    calibration: Path
    """judge_calibration.json, as calibrate_judge writes it."""
    picture: Path
    """PNG to write."""


def main(arguments: Arguments) -> None:
    """Draws."""
    import pandas as pd

    from sluice.artifact_forms import CALIBRATION
    from sluice.figures import save_figure
    from sluice.flywheel.calibration_picture import plot_judge_calibration
    from sluice.forms import read_artifact

    content = read_artifact(arguments.calibration, CALIBRATION)
    models = {role: each["model"] for role, each in content["judges"].items()}
    table = pd.DataFrame(content["measures"])
    save_figure(plot_judge_calibration(table, models=models), arguments.picture)


if __name__ == "__main__":
    run(Arguments, main)

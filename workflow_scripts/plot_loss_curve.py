"""Draws the loss of every training step and of every evaluation.

python workflow_scripts/plot_loss_curve.py --metrics adapters/mine/metrics.json --picture curve.png
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Draw the loss curve of one training."""

    metrics: Path
    """metrics.json of fine_tune.py, or training_log.json of train_base_model.py."""
    picture: Path
    """PNG to write."""


def main(arguments: Arguments) -> None:
    """Reads, draws, writes."""
    from sluice.artifact_forms import DRAWN_CURVES
    from sluice.figures import save_figure
    from sluice.forms import read_artifact
    from sluice.report.loss_curve import plot_loss_curve

    metrics = read_artifact(arguments.metrics, DRAWN_CURVES)
    name = arguments.metrics.resolve().parent.name
    save_figure(plot_loss_curve(metrics, name=name), arguments.picture)


if __name__ == "__main__":
    run(Arguments, main)

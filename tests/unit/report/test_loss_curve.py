"""The picture of a training shows what its log holds."""

import matplotlib.pyplot as plt
import pytest

from sluice.artifact_forms import DRAWN_CURVES
from sluice.errors import DataError
from sluice.files import write_json
from sluice.forms import read_artifact
from sluice.report.loss_curve import plot_loss_curve, running_mean

LOG = {
    "losses": [4.0, 3.0, 2.0],
    "learning_rates": [0.1, 0.2, 0.1],
    "eval_steps": [1, 3],
    "eval_losses": [3.9, 2.1],
}


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


def _labels(figure):
    return [axis.get_ylabel() for axis in figure.axes]


def _legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_a_fine_tuning_shows_losses_the_kept_step_and_the_rate():
    figure = plot_loss_curve({**LOG, "best_step": 3}, name="rft")
    assert _labels(figure) == ["loss (nats per token)", "learning rate"]
    assert _legend(figure) == ["step", "running mean", "held out", "kept"]


def test_a_base_model_shows_bits_per_byte_of_each_evaluation():
    figure = plot_loss_curve({**LOG, "eval_bits_per_byte": [2.5, 1.5]}, name="d20")
    assert _labels(figure)[1] == "held out\n(bits per byte)"
    (line,) = figure.axes[1].get_lines()
    assert line.get_xydata().tolist() == [[1, 2.5], [3, 1.5]]
    assert "kept" not in _legend(figure)


def test_without_evaluations_there_is_no_panel_for_them():
    log = {**LOG, "eval_steps": [], "eval_losses": [], "eval_bits_per_byte": []}
    figure = plot_loss_curve(log, name="base")
    assert len(figure.axes) == 2
    assert _legend(figure) == ["step", "running mean"]


def test_running_mean_is_over_a_twentieth_of_the_steps():
    assert running_mean([float(n) for n in range(40)])[-1] == 38.5
    assert running_mean([1.0, 2.0]) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"learning_rates": None}, "learning_rates: Input should be a valid list"),
        ({"learning_rates": [0.1]}, "learning_rates: 1 values, expected 3"),
        ({"eval_losses": [3.9]}, "eval_losses: 1 values, expected 2"),
        ({"losses": []}, "losses: List should have at least 1 item"),
        ({"losses": [1.0, "2", 3.0]}, "losses.1: Input should be a valid number"),
    ],
)
def test_other_files_are_an_error(changes, fault, tmp_path):
    write_json(tmp_path / "metrics.json", {**LOG, **changes})
    with pytest.raises(DataError, match=rf"metrics\.json is no log of a training: {fault}"):
        read_artifact(tmp_path / "metrics.json", DRAWN_CURVES)

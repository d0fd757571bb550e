"""Pictures: what stands in them, and that the same numbers give the same bytes."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import plot_layer_heatmap as heatmap_script
import plot_score_by_flaw as flaw_script
import plot_score_distributions as distribution_script
from sluice.cli import run
from sluice.errors import DataError
from sluice.report.pictures import (
    plot_layer_heatmap,
    plot_score_by_flaw,
    plot_score_distributions,
    read_scores,
)
from sluice.report.score_evaluation import read_labelled_scores
from sluice.tables import write_parquet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        is_flawed = rng.random(80) < 0.4
        table = {
            "id": [f"{name}_{n}" for n in range(80)],
            "dataset": [name] * 80,
            "quality": rng.normal(size=80) - is_flawed,
            "response_nll": rng.random(80) + is_flawed,
            "ifd": [None] * 80,
            "gate_layer_00": rng.random(80),
            "gate_layer_01": rng.random(80) - is_flawed,
            "status": ["ok"] * 80,
        }
        flaws = [("noise" if n % 2 else "cut") if bad else None for n, bad in enumerate(is_flawed)]
        truth = {"id": table["id"], "is_flawed": is_flawed, "flaw": flaws}
        write_parquet(folder / f"{name}.parquet", pa.table(table))
        write_parquet(folder / f"{name}.truth.parquet", pa.table(truth))
    return folder


def _paths(folder, kind="parquet"):
    return [folder / f"{name}.{kind}" for name in "ab"]


@pytest.fixture
def labelled(folder):
    return read_labelled_scores(_paths(folder), _paths(folder, "truth.parquet"))


def _words(axis):
    return " ".join(text.get_text() for text in axis.get_yticklabels())


def test_distributions_show_each_dataset_and_each_score_that_has_numbers(folder):
    figure = plot_score_distributions(read_scores(_paths(folder)))
    shown = [axis for axis in figure.axes if axis.get_visible() and axis.get_xlabel()]
    names = [axis.get_xlabel() for axis in shown]
    assert names == ["gate quality", "response NLL (nats per token)"]
    labels = [text.get_text() for text in shown[0].get_legend().get_texts()]
    assert labels == ["a (80)", "b (80)"]


def test_flaws_stand_below_the_clean_samples_with_their_auroc(labelled):
    figure = plot_score_by_flaw(labelled)
    words = _words(figure.axes[1])
    num_clean = int((~labelled["is_flawed"]).sum())
    assert words == f"clean ({num_clean}) cut  1.00 noise  1.00"  # one more nat is always more


def test_heat_map_shows_means_in_standard_deviations_clean_first(labelled):
    table = labelled.assign(flaw=labelled["flaw"].fillna("clean"))
    figure = plot_layer_heatmap(table, group="flaw")
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["clean", "cut", "noise"]
    layer = labelled["gate_layer_01"]
    mean = ((layer - layer.mean()) / layer.std())[~labelled["is_flawed"]].mean()
    assert f"{mean:+.2f}" in [text.get_text() for text in axis.texts]


def test_layer_that_says_the_same_of_all_samples_is_drawn_as_nothing_special(labelled):
    figure = plot_layer_heatmap(labelled.assign(gate_layer_00=0.5), group="dataset")
    assert {text.get_text() for text in figure.axes[0].texts[::2]} == {"+0.00"}


@pytest.mark.parametrize(
    ("script", "with_truth"),
    [
        (distribution_script, False),
        (flaw_script, True),
        (heatmap_script, True),
        (heatmap_script, False),
    ],
)
def test_scripts_write_the_same_bytes_again(folder, tmp_path, script, with_truth):
    words = ["--scores", *map(str, _paths(folder))]
    words += ["--truths", *map(str, _paths(folder, "truth.parquet"))] if with_truth else []
    for name in ("one.png", "two.png"):
        run(script.Arguments, script.main, [*words, "--picture", str(tmp_path / name)])
    first = (tmp_path / "one.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert len(first) > 10_000
    assert first == (tmp_path / "two.png").read_bytes()


def test_scores_without_a_scored_sample_are_an_error(folder, tmp_path):
    table = pd.read_parquet(folder / "a.parquet").assign(status="not_finite")
    write_parquet(tmp_path / "none.parquet", pa.Table.from_pandas(table, preserve_index=False))
    with pytest.raises(DataError, match="no sample has a score"):
        read_scores([tmp_path / "none.parquet"])

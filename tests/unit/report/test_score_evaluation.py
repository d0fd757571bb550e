"""Scores against a truth worked out by hand, and the script that measures them."""

import pandas as pd
import pyarrow as pa
import pytest

import evaluate_scores
from sluice.cli import run
from sluice.errors import DataError
from sluice.report.score_evaluation import (
    auroc_table,
    badness,
    clean_share_table,
    read_labelled_scores,
)
from sluice.tables import write_parquet

# Ids a_0 ... a_9: the last four are flawed. Low NLL is good, high quality is good.
NLL = [0.1, 0.2, 0.3, 0.4, 0.5, 2.5, 1.0, 2.0, 3.0, 4.0]
IS_FLAWED = [False] * 6 + [True] * 4
FLAWS = [None] * 6 + ["noise", "noise", "cut", "cut"]


def _scores(**columns):
    table = {
        "id": [f"a_{n}" for n in range(10)],
        "dataset": ["a"] * 10,
        "num_tokens": [5] * 10,
        "num_response_tokens": [3] * 10,
        "quality": [-value for value in NLL],
        "response_nll": NLL,
        "ifd": [None] * 10,
        "gate_layer_00": NLL[::-1],
        "status": ["ok"] * 10,
    }
    return pa.table({**table, **columns})


@pytest.fixture
def files(tmp_path):
    truth = pa.table({"id": [f"a_{n}" for n in range(10)], "is_flawed": IS_FLAWED, "flaw": FLAWS})
    write_parquet(tmp_path / "scores.parquet", _scores())
    write_parquet(tmp_path / "truth.parquet", truth)
    return tmp_path


@pytest.fixture
def labelled(files):
    return read_labelled_scores([files / "scores.parquet"], [files / "truth.parquet"])


def test_badness_turns_scores_whose_high_values_are_good(labelled):
    assert badness(labelled, "response_nll").tolist() == NLL
    assert badness(labelled, "quality").tolist() == NLL
    assert badness(labelled, "gate_layer_00").tolist() == [-value for value in NLL[::-1]]


def test_auroc_of_each_flaw_is_against_all_clean_samples(labelled):
    table = auroc_table(labelled).set_index(["score", "flaw"])
    # One clean sample (2.5) stands above two of the four flawed ones: 22 of 24 pairs are in order.
    assert table.loc[("response_nll", "all"), "auroc"] == pytest.approx(22 / 24)
    assert table.loc[("response_nll", "noise"), "auroc"] == pytest.approx(10 / 12)
    assert table.loc[("response_nll", "cut"), "auroc"] == 1.0
    assert table.loc[("quality", "all"), "auroc"] == pytest.approx(22 / 24)
    assert table.loc[("response_nll", "cut"), ["num_flawed", "num_clean"]].tolist() == [2, 6]


def test_best_score_stands_first_and_scores_without_numbers_do_not_stand(labelled):
    table = auroc_table(labelled)
    overall = table[table["flaw"] == "all"]["auroc"].tolist()
    assert overall == sorted(overall, reverse=True)
    assert "ifd" not in set(table["score"])
    assert "gate_layer_00" in set(table["score"])


def test_clean_share_counts_the_best_of_each_dataset(labelled):
    table = clean_share_table(labelled, choices={"selected": {"a_0", "a_9"}})
    rows = table.set_index(["score", "kept"])
    assert rows.loc[("(all)", 1.0), "clean_share"] == 0.6
    assert rows.loc[("(selected)", 0.2), ["num_kept", "num_clean"]].tolist() == [2, 1]
    assert rows.loc[("response_nll", 0.3), ["num_kept", "num_clean"]].tolist() == [3, 3]
    assert rows.loc[("response_nll", 0.05), "num_kept"] == 1  # rounded up, at least one
    assert "gate_layer_00" not in set(table["score"])


def test_datasets_keep_their_share_each(labelled):
    other = labelled.assign(dataset="b", id=labelled["id"].str.replace("a_", "b_"))
    other["response_nll"] += 100.0
    both = pd.concat([labelled, other])
    rows = clean_share_table(both, choices={}).set_index(["score", "kept"])
    assert rows.loc[("response_nll", 0.5), ["num_kept", "num_clean"]].tolist() == [10, 10]


def test_samples_that_were_not_scored_do_not_count(files):
    status = ["ok"] * 9 + ["not_finite"]
    write_parquet(files / "scores.parquet", _scores(status=status))
    found = read_labelled_scores([files / "scores.parquet"], [files / "truth.parquet"])
    assert len(found) == 9


def test_sample_without_a_known_truth_is_an_error(files):
    write_parquet(files / "more.parquet", _scores(id=[f"b_{n}" for n in range(10)]))
    scores = [files / "scores.parquet", files / "more.parquet"]
    with pytest.raises(DataError, match="10 of 20 scored samples have no known truth"):
        read_labelled_scores(scores, [files / "truth.parquet"])


def test_no_truth_at_all_is_an_error_that_says_how_to_give_one(files):
    with pytest.raises(DataError, match="no dataset has a known truth") as caught:
        read_labelled_scores([files / "scores.parquet"], [])
    assert "datasets.<name>.truth" in str(caught.value)


def test_script_writes_both_tables(files):
    kept = '{"messages":[],"dataset":"a","id":"a_1","scores":{},"rank":1}\n'
    (files / "selected.jsonl").write_text(kept)
    words = ["--scores", str(files / "scores.parquet"), "--truths", str(files / "truth.parquet")]
    words += ["--selected", str(files / "selected.jsonl")]
    words += ["--auroc", str(files / "a.csv"), "--clean-share", str(files / "c.csv")]
    run(evaluate_scores.Arguments, evaluate_scores.main, words)
    assert pd.read_csv(files / "a.csv")["auroc"].between(0, 1).all()
    shares = pd.read_csv(files / "c.csv").set_index("score")
    assert shares.loc["(selected)", "num_clean"] == 1
    assert "(random)" not in shares.index

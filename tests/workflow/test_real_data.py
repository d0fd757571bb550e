"""Real data goes through the same commands: Alpaca, tool dialogues, GSM8K."""

import json
import math
import shutil

import pytest
import yaml
from support import ROOT, snakemake

CONFIG = ROOT / "tests" / "configs" / "real_data.yaml"


@pytest.fixture(scope="module")
def selected(built, shared_data, tmp_path_factory):
    """The built-in run's folder, in which real data has been selected from; gates learn briefly."""
    folder = tmp_path_factory.mktemp("real") / "sluice"
    shutil.copytree(built, folder)  # with times, so that the built-in model is not trained again
    (folder.parent / "shared").symlink_to(shared_data.parent)
    config = yaml.safe_load(CONFIG.read_text())
    # The smaller part of GSM8K: selecting from the larger takes four minutes.
    config["datasets"]["gsm8k"]["path"] = "../shared/data/gsm8k/test.jsonl"
    config["data"]["evaluation_texts"] = []
    config["gate"]["warm_up_steps"] = 20
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    words = ("--cores", "2", "--configfile", "own.yaml", "--", "results/selected_data.jsonl")
    return folder, snakemake(folder, *words).stdout


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_the_best_twentieth_of_each_real_dataset_is_kept_and_is_its_own_text(selected):
    folder, _ = selected
    kept = rows(folder / "results" / "selected_data.jsonl")
    for dataset in ("alpaca", "gsm8k", "tools"):
        train = {row["id"]: row for row in rows(folder / f"results/data/{dataset}/train.jsonl")}
        own = [row for row in kept if row["dataset"] == dataset]
        ledger = json.loads((folder / f"results/selected/{dataset}.ledger.json").read_text())
        assert len(own) == math.ceil(0.05 * ledger["rows_in"])
        assert all(row["messages"] == train[row["id"]]["messages"] for row in own)


def test_no_row_of_the_sources_is_lost_between_conversion_and_split(selected, shared_data):
    folder, _ = selected
    instruct = shared_data / "instruct"
    counts = {
        "alpaca": len(json.loads((instruct / "alpaca_en_demo.json").read_text())),
        "tools": len(json.loads((instruct / "glaive_toolcall_en_demo.json").read_text())),
        "gsm8k": len(rows(shared_data / "gsm8k" / "test.jsonl")),
    }
    for dataset, count in counts.items():
        books = [
            json.loads((folder / f"results/data/{dataset}/{step}.ledger.json").read_text())
            for step in ("samples", "clean", "split")
        ]
        assert [book["rows_in"] for book in books] == [count, *(b["rows_kept"] for b in books[:-1])]
        for book in books:
            assert book["rows_in"] == book["rows_kept"] + sum(book["rejected"].values())


def test_the_built_in_model_is_not_trained_again_for_other_data(selected):
    _, output = selected
    assert "rule collect_router_data" in output
    assert "rule train_base_model" not in output

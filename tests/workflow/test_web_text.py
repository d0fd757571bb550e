"""Real web text: a tokenizer is trained on it and evaluated, the built-in model's bits per byte."""

import json
import subprocess
import sys

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def halves(shared_data, tmp_path_factory):
    """The documents of c4_demo.jsonl, 200 to learn from and 100 held out."""
    folder = tmp_path_factory.mktemp("c4")
    lines = (shared_data / "text" / "c4_demo.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "train.jsonl").write_bytes(b"".join(lines[:200]))
    (folder / "unseen.jsonl").write_bytes(b"".join(lines[200:]))
    return folder / "train.jsonl", folder / "unseen.jsonl"


def _script(built, name, *words):
    command = [sys.executable, f"workflow_scripts/{name}.py", *words]
    subprocess.run(command, cwd=built, check=True)


def test_a_tokenizer_of_web_text_compresses_unseen_web_text_better_than_the_built_in_one(
    built, halves, tmp_path
):
    train, unseen = halves
    size = ("--vocab-size", "2048")
    _script(built, "train_tokenizer", "--text", train, *size, "--folder", tmp_path / "web")
    _script(
        built, "evaluate_tokenizer", "--tokenizer", tmp_path / "web",
        "--compare", "results/tokenizer/base", "--train-text", train, "--unseen-text", unseen,
        "--table", tmp_path / "e.csv", "--picture", tmp_path / "e.png",
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "e.csv").set_index(["tokenizer", "domain"])["bytes_per_token"]
    assert table[str(tmp_path / "web"), "unseen"] > 1.4 * table["results/tokenizer/base", "unseen"]


def test_the_built_in_model_finds_web_text_far_harder_than_its_own_world(built, halves, tmp_path):
    own = json.loads((built / "results/base/base/loss.json").read_text())["splits"]
    train, unseen = halves
    _script(
        built, "evaluate_base_loss", "--hf-path", "results/base/base/final_model",
        "--train-text", train, "--heldout-text", unseen, "--max-chars", "20000",
        "--num-free-samples", "0", "--output", tmp_path / "loss.json",
        "--state-dir", tmp_path / "state",
    )  # fmt: skip
    web = json.loads((tmp_path / "loss.json").read_text())["splits"]
    for name in ("train", "heldout"):
        assert web[name]["num_bytes"] > 19_000
        assert web[name]["interval_95"][0] > 10 * own["heldout"]["bits_per_byte"]
    assert own["heldout"]["bits_per_byte"] < 0.2

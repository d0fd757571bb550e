"""convert_dataset.py: what it says, writes and exits with."""

import os
import subprocess
import sys

import pytest
from sources_for_tests import ALPACA, GOOD, LEGAL_PROMPT, convert_rows, entries, to_jsonl, written
from support import ROOT

from sluice.ledger import read_ledger
from sluice.records import read_samples


def _script(folder, *words):
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / "workflow_scripts" / "convert_dataset.py"),
            *("--samples", "samples.jsonl", "--ledger", "ledger.json"),
            *("--rejected", "out.jsonl", "--legal-prompt", str(LEGAL_PROMPT)),
            *words,
        ],
        cwd=folder,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")},
    )


def test_script_converts_and_exits_0(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(to_jsonl([*ALPACA, {"instruction": 5}]))
    done = _script(tmp_path, "--path", "a.jsonl", "--dataset", "alpaca")
    assert done.returncode == 0, done.stderr
    assert "alpaca: format alpaca" in done.stderr
    assert "47 rows in, 46 kept, 1 rejected (wrong_type 1)" in done.stderr
    assert read_ledger(tmp_path / "ledger.json") == {
        "step": "convert_dataset",
        "dataset": "alpaca",
        "rows_in": 47,
        "rows_kept": 46,
        "rejected": {"wrong_type": 1},
    }
    assert len(list(read_samples(tmp_path / "samples.jsonl"))) == 46
    assert len(entries(tmp_path / "out.jsonl")) == 1


def test_script_that_rejects_too_much_exits_1_and_keeps_the_rejected(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(to_jsonl([GOOD] * 4 + [{"prompt": "p"}]))
    words = ["--path", "a.jsonl", "--dataset", "d", "--kept-on-failure", "kept.jsonl"]
    done = _script(tmp_path, *words)
    assert done.returncode == 1
    assert done.stderr.endswith(
        "DataError: 1 of 5 rows (20%) cannot be used: missing_field 1\n  in a.jsonl\n"
        "  Expected: at most 10% (data.max_rejected_share)\n"
        "  Hint: the rejected rows with their reasons: kept.jsonl\n"
    )
    assert written(tmp_path) == ["a.jsonl", "kept.jsonl"]
    again = _script(tmp_path, *words, "--max-rejected-share", "0.2")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--path", "none.jsonl"], "DataError: none.jsonl does not exist\n"),
        (["--hub", "nobody/nothing"], "DataError: dataset 'nobody/nothing' could not be loaded: "),
        ([], "DataError: a dataset comes from exactly one of 'path' and 'hub'\n"),
    ],
    ids=["path", "hub", "neither"],
)
def test_script_without_a_source_exits_1_without_a_traceback(tmp_path, words, message):
    done = _script(tmp_path, *words, "--dataset", "d")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "samples.jsonl").exists()


def test_script_reads_a_dataset_in_the_hubs_layout(tmp_path):
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "train.jsonl").write_bytes(to_jsonl(ALPACA))
    done = _script(tmp_path, "--hub", str(folder), "--dataset", "d")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "samples.jsonl").read_bytes() == convert_rows(tmp_path / "b", ALPACA).bytes

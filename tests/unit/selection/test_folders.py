"""Batch mode, and the scripts of this stage as users run them."""

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from selections_for_tests import (
    make_sample,
    make_selection,
    random_records,
    router_data,
    score_table,
)
from support import ROOT

from sluice.errors import DataError, SelectionError
from sluice.ledger import read_ledger
from sluice.records import write_samples
from sluice.router_data import write_router_data
from sluice.selection.folders import select_folder
from sluice.settings.selection import ScoreSamples
from sluice.tables import write_parquet


@pytest.fixture
def folder(tmp_path):
    """Router data of two datasets, with samples in both places where they may lie."""
    _write_dataset(tmp_path, "a", 20, tmp_path / "data" / "a.jsonl", seed=1)
    _write_dataset(tmp_path, "b", 30, tmp_path / "data" / "b" / "train.jsonl", seed=2)
    (tmp_path / "routers" / "notes.txt").write_text("not of interest")
    return tmp_path


def _write_dataset(folder, name, count, samples, *, seed, dataset=None):
    records = random_records(count, seed=seed, dataset=name)
    data = router_data(records, dataset=dataset or name)
    write_router_data(folder / "routers" / f"{name}_router_data.pt", data)
    write_samples(samples, [make_sample(record["id"], dataset=name) for record in records])


def _select(folder, **settings):
    return select_folder(
        folder / "routers",
        folder / "data",
        folder / "out",
        scoring=ScoreSamples(),
        selection=make_selection(**settings),
    )


def _entries(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _best(folder, names, count):
    """(dataset, id) of the lowest surprise in the written scores."""
    rows = [row for name in names for row in pq.read_table(folder / f"{name}.parquet").to_pylist()]
    rows.sort(key=lambda row: (row["excess_surprise_max"], row["id"]))
    return [(row["dataset"], row["id"]) for row in rows[:count]]


def test_every_router_data_file_is_found_and_selected_from(folder):
    outputs = _select(folder, selection_percentage=0.1)
    out = folder / "out"
    assert outputs == [out / "a.jsonl", out / "b.jsonl"]
    for name, num_samples in (("a", 20), ("b", 30)):
        num_kept = num_samples // 10
        found = [(entry["dataset"], entry["id"]) for entry in _entries(out / f"{name}.jsonl")]
        assert found == _best(out, [name], num_kept)
        ledger = read_ledger(out / f"{name}.ledger.json")
        assert (ledger["rows_in"], ledger["rows_kept"]) == (num_samples, num_kept)


def test_best_of_all_datasets_together_are_kept(folder):
    _select(folder, selection_count=12, selection_scope="all")
    entries = [entry for name in "ab" for entry in _entries(folder / "out" / f"{name}.jsonl")]
    entries.sort(key=lambda entry: entry["rank"])
    assert [entry["rank"] for entry in entries] == list(range(1, 13))
    found = [(entry["dataset"], entry["id"]) for entry in entries]
    assert found == _best(folder / "out", "ab", 12)


def test_folder_without_router_data_is_refused(folder):
    (folder / "routers").rename(folder / "elsewhere")
    for _ in range(2):
        with pytest.raises(DataError, match=r"routers holds no \*_router_data\.pt"):
            _select(folder)
        (folder / "routers").mkdir(exist_ok=True)


def test_missing_samples_are_an_error_before_anything_is_scored(folder):
    (folder / "data" / "b" / "train.jsonl").unlink()
    with pytest.raises(DataError, match=r"no samples of 'b' are in .*data\n  Expected: .*b\.jsonl"):
        _select(folder)
    assert not (folder / "out").exists()


def test_file_named_after_another_dataset_is_an_error(folder):
    _write_dataset(folder, "c", 5, folder / "data" / "c.jsonl", seed=3, dataset="other")
    with pytest.raises(SelectionError, match="no sample of dataset 'c'\n  Expected: one of: other"):
        _select(folder)


def _run(script, **flags):
    words = [
        word
        for name, value in flags.items()
        for word in (
            f"--{name.replace('_', '-')}",
            *(value if isinstance(value, list) else [value]),
        )
    ]
    return subprocess.run(
        [sys.executable, str(ROOT / "workflow_scripts" / f"{script}.py"), *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
    )


def _run_well(script, **flags):
    done = _run(script, **flags)
    assert done.returncode == 0, done.stderr
    return done


def test_scripts_lead_from_router_data_to_one_file(folder):
    scores, samples = folder / "a.parquet", folder / "data" / "a.jsonl"
    _run_well(
        "score_samples",
        router_data=folder / "routers" / "a_router_data.pt",
        output=scores,
        alpha=-1,
        scored_tokens="all",
    )
    common = {"scores": scores, "samples": samples, "dataset": "a", "selection_count": 4}
    _run_well(
        "select_samples",
        **common,
        strategy="perplexity_based",
        output=folder / "kept.jsonl",
        ledger=folder / "kept.ledger.json",
    )
    done = _run_well(
        "select_random",
        **common,
        seed=3,
        output=folder / "random.jsonl",
        ledger=folder / "random.ledger.json",
    )
    assert "20 rows in, 4 kept, 16 rejected (below_cut 16)" in done.stderr
    write_samples(folder / "empty.jsonl", [])
    kept, drawn = _entries(folder / "kept.jsonl"), _entries(folder / "random.jsonl")
    assert [entry["rank"] for entry in kept] == [entry["rank"] for entry in drawn] == [1, 2, 3, 4]
    assert read_ledger(folder / "random.ledger.json")["step"] == "select_random"
    _run_well(
        "merge_selected",
        selected=[folder / "kept.jsonl", folder / "empty.jsonl"],
        output=folder / "all.jsonl",
        ledger=folder / "all.ledger.json",
    )
    assert _entries(folder / "all.jsonl") == kept


def test_script_of_the_batch_mode_gives_what_the_function_gives(folder):
    expected = [path.read_bytes() for path in _select(folder, selection_token_budget=100)]
    _run_well(
        "select_folder",
        router_data_dir=folder / "routers",
        samples_dir=folder / "data",
        output_dir=folder / "again",
        selection_token_budget=100,
        hybrid_quality_weight=0.0,
        hybrid_surprise_score="excess_surprise_max",
    )
    found = [(folder / "again" / f"{name}.jsonl").read_bytes() for name in "ab"]
    assert found == expected


@pytest.mark.parametrize(
    ("script", "missing", "flags"),
    [
        ("score_samples", "no_router_data.pt", {"router_data": "{}"}),
        ("select_samples", "no.parquet", {"scores": "{}", "samples": "s.jsonl", "dataset": "a"}),
        ("select_random", "no.jsonl", {"scores": "s.parquet", "samples": "{}", "dataset": "a"}),
        ("merge_selected", "no.jsonl", {"selected": "{}"}),
    ],
)
def test_missing_file_is_one_message_and_exit_code_one(tmp_path, script, missing, flags):
    write_parquet(tmp_path / "s.parquet", score_table(count=3, dataset="a"))
    paths = {
        name: value if name == "dataset" else tmp_path / value.format(missing)
        for name, value in flags.items()
    }
    if script != "score_samples":
        paths["ledger"] = tmp_path / "out.ledger.json"
    done = _run(script, **paths, output=tmp_path / "out.jsonl")
    assert done.returncode == 1
    assert done.stderr == f"DataError: {tmp_path / missing} does not exist\n"
    assert not (tmp_path / "out.jsonl").exists()

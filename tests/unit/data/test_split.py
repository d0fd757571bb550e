"""Train and test."""

import json
import logging
import random
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples_for_tests import make_sample

from sluice.data.split import NO_GROUP, Row, choose_test, split_dataset
from sluice.errors import DataError
from sluice.ledger import Ledger, read_ledger
from sluice.records import read_samples, write_samples
from sluice.tables import write_parquet


def _rows(sizes_by_group):
    """Rows of clusters of the given sizes: ``{"a": [1, 1, 3]}``."""
    return [
        Row(f"{group}{cluster}_{n}", group, f"{group}{cluster}")
        for group, sizes in sizes_by_group.items()
        for cluster, size in enumerate(sizes)
        for n in range(size)
    ]


def _test_counts(rows, chosen):
    return Counter(row.group for row in rows if row.cluster in chosen)


def test_each_group_gives_its_share():
    rows = _rows({"a": [1] * 100, "b": [1] * 40, "c": [1] * 6})
    counts = _test_counts(rows, choose_test(rows, test_ratio=0.2, seed=1))
    assert counts == {"a": 20, "b": 8, "c": 1}


def test_small_group_gives_at_least_one():
    rows = _rows({"a": [1, 1]})
    assert _test_counts(rows, choose_test(rows, test_ratio=0.01, seed=1)) == {"a": 1}


def test_group_of_one_cluster_stays_for_training():
    rows = _rows({"a": [1], "b": [7], "c": [1] * 10})
    assert _test_counts(rows, choose_test(rows, test_ratio=0.5, seed=1)) == {"c": 5}


def test_cluster_larger_than_the_share_is_taken_only_where_nothing_else_is():
    rows = _rows({"a": [5, 1, 1, 1, 1, 1], "b": [3, 4]})
    chosen = choose_test(rows, test_ratio=0.2, seed=3)
    assert _test_counts(rows, chosen) == {"a": 2, "b": 3}
    assert "a0" not in chosen


def test_ratio_of_zero_takes_nothing():
    assert choose_test(_rows({"a": [1] * 10}), test_ratio=0, seed=1) == set()


def test_cluster_of_two_groups_belongs_to_the_one_with_more_of_it():
    rows = [Row("1", "b", "x"), Row("2", "b", "x"), Row("3", "a", "x"), Row("4", "b", "y")]
    assert choose_test(rows, test_ratio=0.3, seed=1) == {"y"}


def test_another_seed_takes_others():
    rows = _rows({"a": [1] * 50})
    assert choose_test(rows, test_ratio=0.2, seed=1) != choose_test(rows, test_ratio=0.2, seed=2)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from("abc"), st.lists(st.integers(1, 5), min_size=1, max_size=12), min_size=1
    ),
    st.floats(0.01, 0.9),
    st.randoms(use_true_random=False),
)
def test_order_of_rows_is_nothing_and_every_group_keeps_both_sides(sizes, ratio, rng):
    rows = _rows(sizes)
    chosen = choose_test(rows, test_ratio=ratio, seed=7)
    shuffled = rows[:]
    rng.shuffle(shuffled)
    assert choose_test(shuffled, test_ratio=ratio, seed=7) == chosen
    counts = _test_counts(rows, chosen)
    for group, clusters in sizes.items():
        assert (counts[group] > 0) == (len(clusters) > 1)
        assert counts[group] < sum(clusters) or len(clusters) == 1


def _split(folder, samples, *, clusters=None, test_ratio=0.2):
    folder.mkdir(parents=True, exist_ok=True)
    write_samples(folder / "clean.jsonl", samples)
    clusters = clusters or {sample.id: sample.id for sample in samples}
    table = pa.table({"id": list(clusters), "cluster": list(clusters.values())})
    write_parquet(folder / "clusters.parquet", table)
    with Ledger("split_dataset", "t", path=folder / "split.ledger.json") as ledger:
        summary = split_dataset(
            folder / "clean.jsonl",
            folder / "clusters.parquet",
            test_ratio=test_ratio,
            seed=42,
            train=folder / "train.jsonl",
            test=folder / "test.jsonl",
            ledger=ledger,
        )
    sides = [
        [sample.id for sample in read_samples(folder / name)]
        for name in ("train.jsonl", "test.jsonl")
    ]
    return *sides, summary


def _samples(count, group=None):
    return [make_sample(n, f"Question {n}?", str(n), group=group) for n in range(count)]


def test_every_row_is_on_one_side_in_its_order(tmp_path):
    samples = _samples(50)
    train, test, summary = _split(tmp_path, samples)
    assert (len(train), len(test)) == (40, 10)
    assert sorted(train + test) == sorted(sample.id for sample in samples)
    places = {sample.id: n for n, sample in enumerate(samples)}
    assert train == sorted(train, key=places.get)
    assert summary == {
        "train": 40,
        "test": 10,
        "groups": {NO_GROUP: {"train": 40, "test": 10}},
    }
    ledger = read_ledger(tmp_path / "split.ledger.json")
    assert (ledger["rows_in"], ledger["rows_kept"], ledger["rejected"]) == (50, 50, {})


def test_same_sides_in_any_order_of_rows(tmp_path):
    samples = _samples(60, group="g")
    train, test, _ = _split(tmp_path / "a", samples)
    random.Random(1).shuffle(samples)
    train_again, test_again, _ = _split(tmp_path / "b", samples)
    assert set(train_again) == set(train)
    assert set(test_again) == set(test)


def test_clusters_stay_whole(tmp_path):
    samples = _samples(60)
    clusters = {sample.id: f"c{n // 3}" for n, sample in enumerate(samples)}
    train, test, _ = _split(tmp_path, samples, clusters=clusters)
    assert len(test) == 12
    assert not {clusters[each] for each in train} & {clusters[each] for each in test}


def test_ratio_of_zero_writes_an_empty_test_file(tmp_path):
    train, test, _ = _split(tmp_path, _samples(5), test_ratio=0)
    assert (len(train), test) == (5, [])
    assert (tmp_path / "test.jsonl").read_bytes() == b""


def test_empty_dataset_splits_into_two_empty_files(tmp_path):
    assert _split(tmp_path, [])[2] == {"train": 0, "test": 0, "groups": {}}


def test_group_without_test_sample_is_named_in_the_log(tmp_path, caplog):
    lone = make_sample(100, "Alone?", "Yes.", group="lone")
    twins = [make_sample(n, f"Twin {n}?", "Yes.", group="twins") for n in (200, 201)]
    samples = [*_samples(10, group="many"), lone, *twins]
    clusters = {sample.id: sample.id for sample in samples} | {twins[1].id: twins[0].id}
    with caplog.at_level(logging.WARNING):
        _split(tmp_path, samples, clusters=clusters)
    assert [record.message for record in caplog.records] == [
        "group 'lone' is a single sample: no test sample, all for training",
        "group 'twins' is a single cluster of similar samples: no test sample, all for training",
    ]


def test_sample_without_cluster_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"1 samples stand in no cluster \(t_1\)"):
        _split(tmp_path, _samples(2), clusters={"t_0": "t_0"})
    assert not (tmp_path / "train.jsonl").exists()


def test_summary_is_json(tmp_path):
    _, _, summary = _split(tmp_path, _samples(10, group="数"))
    assert json.loads(json.dumps(summary))["groups"]["数"] == {"train": 8, "test": 2}

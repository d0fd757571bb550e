"""Kept samples with scores and ranks, the merged file, and what the ledger says of the rest."""

import json
import random

import numpy as np
import pyarrow as pa
import pytest
from selections_for_tests import (
    ids_at,
    make_sample,
    make_selection,
    random_records,
    router_data,
    samples_of,
    score_table,
)

from sluice.errors import DataError, SelectionError
from sluice.ledger import read_ledger
from sluice.records import SelectedSample, write_samples
from sluice.selection.keeping import merge_selected, read_scores, write_selection
from sluice.selection.ranking import select_samples
from sluice.selection.scores import score_samples
from sluice.settings.selection import ScoreSamples
from sluice.tables import write_parquet

LINE_SEPARATOR, NO_BREAK_SPACE = "\u2028", "\u00a0"
HARD_TEXTS = [
    f"one{LINE_SEPARATOR}two\x85three\u2029four",
    "👩‍🔬 测试 naïve",
    'a "quoted" \\ back\\\\slash \\u0041 {"id": "no"}',
    '","dataset":"x","id":"forged"',
    f"tab\tnul\x00 cr\r\nend {NO_BREAK_SPACE}",
]
HARD_IDS = ['d_"1"', "d_\\2", "d_数", "d_👩‍🔬", 'd_","id":"x', f"d_{LINE_SEPARATOR}"]


def _keep(folder, table, samples, *, rows=None, dataset="d", **settings):
    """Writes the selection; returns (kept samples, ledger)."""
    if rows is None:
        rows = select_samples(table, settings=make_selection(**settings))
    if not isinstance(samples, list):
        path = samples
    else:
        path = folder / f"{dataset}.samples.jsonl"
        write_samples(path, samples)
    output = folder / f"{dataset}.jsonl"
    ledger = folder / f"{dataset}.ledger.json"
    count = write_selection(
        "select_samples",
        table,
        np.array(rows),
        path,
        dataset=dataset,
        output=output,
        ledger_path=ledger,
    )
    kept = _read(output)
    assert len(kept) == count
    return kept, read_ledger(ledger)


def _read(path):
    return [
        SelectedSample.model_validate_json(line) for line in path.read_bytes().split(b"\n")[:-1]
    ]


def test_output_is_best_first_with_ranks_and_scores(tmp_path):
    table = score_table(
        excess_surprise_max=[3.0, 1.0, 2.0, 0.5], ifd=[None, 0.1, 0.2, None], ids=list("abcd")
    )
    samples = samples_of(table)
    random.Random(1).shuffle(samples)
    kept, ledger = _keep(tmp_path, table, samples, selection_count=3)
    assert [(sample.id, sample.rank) for sample in kept] == [("d", 1), ("b", 2), ("c", 3)]
    assert kept[1].scores == {
        "quality": 0.5,
        "perplexity": 0.5,
        "response_nll": 0.5,
        "excess_surprise_max": 1.0,
        "ifd": 0.1,
    }
    assert "ifd" not in kept[0].scores
    assert (ledger["rows_in"], ledger["rows_kept"], ledger["rejected"]) == (4, 3, {"below_cut": 1})


def test_sample_itself_is_unchanged(tmp_path):
    samples = [
        make_sample(
            sample_id,
            response=text,
            weight=0.5,
            group="数",
            reference={"answer": text, "nothing": None},
            meta={"dataset": "x", "id": "not this", "deep": [{"id": None}]},
        )
        for sample_id, text in zip(HARD_IDS, [*HARD_TEXTS, "plain"], strict=True)
    ]
    table = score_table(ids=HARD_IDS, count=len(HARD_IDS))
    kept, _ = _keep(tmp_path, table, samples, selection_percentage=1.0)
    before = {sample.id: sample.model_dump() for sample in samples}
    after = {sample.id: sample.model_dump(exclude={"scores", "rank"}) for sample in kept}
    assert after == before
    assert (tmp_path / "d.jsonl").read_bytes().count(b"\n") == len(samples)


def test_keys_of_the_samples_may_stand_in_any_order_and_spacing(tmp_path):
    entries = [json.loads(make_sample(each, meta={"id": "m"}).to_line()) for each in ("a", "b")]
    lines = [
        json.dumps(dict(reversed(entries[0].items())), indent=None),
        json.dumps(entries[1], separators=(", ", " : "), ensure_ascii=True),
    ]
    path = tmp_path / "samples.jsonl"
    path.write_text("\r\n".join(lines) + "\n\n")
    kept, ledger = _keep(tmp_path, score_table(ids=["a", "b"]), path, selection_percentage=1.0)
    assert [sample.id for sample in kept] == ["a", "b"]
    assert ledger["rows_in"] == 2


def test_every_row_is_kept_or_rejected_for_a_reason(tmp_path):
    status = ["ok"] * 6 + ["no_response_token", "not_finite", "not_finite"]
    table = score_table(count=9, status=status)
    unscored = [make_sample(f"new_{n}") for n in range(4)]
    _, ledger = _keep(tmp_path, table, [*unscored, *samples_of(table)], selection_count=2)
    assert ledger == {
        "step": "select_samples",
        "dataset": "d",
        "rows_in": 13,
        "rows_kept": 2,
        "rejected": {"below_cut": 4, "no_response_token": 1, "not_finite": 2, "not_scored": 4},
    }


def test_kept_sample_that_is_not_there_is_an_error_with_ids(tmp_path):
    table = score_table(count=5)
    with pytest.raises(DataError, match=r"2 selected samples are not in .* \(d_00000, d_00002\)"):
        _keep(tmp_path, table, samples_of(table.take([1, 3, 4])), selection_count=3)
    assert not (tmp_path / "d.jsonl").exists()
    assert not (tmp_path / "d.ledger.json").exists()


def test_sample_below_the_cut_may_be_missing(tmp_path):
    table = score_table(count=5)
    kept, _ = _keep(tmp_path, table, samples_of(table.slice(0, 2)), selection_count=2)
    assert [sample.id for sample in kept] == ["d_00000", "d_00001"]


def test_kept_sample_that_stands_there_twice_is_an_error(tmp_path):
    table = score_table(count=3)
    samples = samples_of(table)
    with pytest.raises(DataError, match="line 4 repeats the id d_00000"):
        _keep(tmp_path, table, [*samples, samples[0]], selection_count=1)


@pytest.mark.parametrize(
    "line", ["no json", '{"instruction": "x"}', "[1]", '{"messages": []', '{"id": []}']
)
def test_line_that_is_no_sample_is_named(tmp_path, line):
    path = tmp_path / "samples.jsonl"
    path.write_bytes(make_sample("d_00000").to_line() + line.encode() + b"\n")
    with pytest.raises(DataError, match="line 2 is not a canonical sample"):
        _keep(tmp_path, score_table(count=2), path)


def test_samples_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.jsonl does not exist"):
        _keep(tmp_path, score_table(count=2), tmp_path / "nowhere.jsonl")


def test_dataset_without_any_score_is_an_error(tmp_path):
    table = score_table(count=2)
    message = "no sample of dataset 'e'\n  Expected: one of: d"
    with pytest.raises(SelectionError, match=message):
        _keep(tmp_path, table, samples_of(table), dataset="e")


def _two_datasets():
    first = score_table(excess_surprise_max=[1.0, 2.0, 8.0, 9.0], count=4)
    second = score_table(excess_surprise_max=[0.5, 3.0, 4.0, 7.0], count=4, dataset="e")
    return first, second


def test_best_of_two_datasets_together_share_one_order_of_ranks(tmp_path):
    first, second = _two_datasets()
    table = pa.concat_tables([first, second])
    rows = select_samples(table, settings=make_selection(selection_percentage=0.5))
    ranks = {}
    for part, dataset in ((first, "d"), (second, "e")):
        kept, ledger = _keep(tmp_path, table, samples_of(part), rows=rows, dataset=dataset)
        ranks |= {sample.id: sample.rank for sample in kept}
        assert (ledger["rows_in"], ledger["rows_kept"]) == (4, 2)
    assert ranks == {"e_00000": 1, "d_00000": 2, "d_00001": 3, "e_00001": 4}


def test_dataset_of_which_nothing_is_among_the_best_gives_an_empty_file(tmp_path):
    first, second = _two_datasets()
    table = pa.concat_tables([first, second])
    rows = select_samples(table, settings=make_selection(selection_count=1))
    kept, ledger = _keep(tmp_path, table, samples_of(first), rows=rows)
    assert (kept, ledger["rejected"]) == ([], {"below_cut": 4})
    assert (tmp_path / "d.jsonl").read_bytes() == b""


def _write_scores(folder, records, *, dataset):
    data = router_data(records, dataset=dataset)
    write_parquet(folder / f"{dataset}.parquet", score_samples(data, settings=ScoreSamples()))
    return folder / f"{dataset}.parquet"


def test_quality_over_pooled_files_is_that_of_one_file_of_all_samples(tmp_path):
    records = random_records(30)
    records[7]["is_response"] = [False] * len(records[7]["is_response"])
    records[21]["perplexities"][0] = float("nan")
    paths = [
        _write_scores(tmp_path, records[:20], dataset="a"),
        _write_scores(tmp_path, records[20:], dataset="b"),
    ]
    pooled = read_scores(paths).sort_by("id")
    whole = read_scores([_write_scores(tmp_path, records, dataset="c")])
    apart = read_scores(paths[:1])
    assert pooled.column_names == whole.column_names
    quality, expected = (table["quality"].to_pylist() for table in (pooled, whole))
    assert [value is None for value in quality] == [value is None for value in expected]
    assert quality.count(None) == 2
    numbers = [value for value in quality if value is not None]
    assert numbers == pytest.approx([value for value in expected if value is not None])
    assert apart["quality"][0].as_py() != pytest.approx(whole["quality"][0].as_py())


def test_sample_in_two_score_files_is_an_error(tmp_path):
    path = _write_scores(tmp_path, random_records(3), dataset="d")
    with pytest.raises(SelectionError, match="two score files hold the same sample"):
        read_scores([path, path])


def test_scores_of_two_models_are_an_error(tmp_path):
    paths = [
        _write_scores(tmp_path, random_records(3, num_layers=layers, dataset=name), dataset=name)
        for layers, name in ((2, "a"), (3, "b"))
    ]
    with pytest.raises(SelectionError, match="the score files have different columns"):
        read_scores(paths)


def test_parquet_of_something_else_is_an_error(tmp_path):
    write_parquet(tmp_path / "x.parquet", pa.table({"id": ["a"], "cluster": ["a"]}))
    with pytest.raises(DataError, match="lacks the columns dataset, num_tokens, quality, status"):
        read_scores([tmp_path / "x.parquet"])


def test_score_file_that_is_missing_or_no_parquet_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"none\.parquet does not exist"):
        read_scores([tmp_path / "none.parquet"])
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(DataError, match=r"text\.parquet is not a readable Parquet file"):
        read_scores([tmp_path / "text.parquet"])


def _selected(sample_id, rank, *, dataset="d", scores=None, **fields):
    sample = make_sample(sample_id, dataset=dataset, **fields)
    return SelectedSample(**dict(sample), scores=scores or {"quality": 1.0 / rank}, rank=rank)


def _merge(folder, *lists):
    paths = []
    for n, samples in enumerate(lists):
        paths.append(folder / f"in_{n}.jsonl")
        write_samples(paths[-1], samples)
    output, ledger = folder / "selected_data.jsonl", folder / "selected_data.ledger.json"
    count = merge_selected(paths, output=output, ledger_path=ledger)
    merged = _read(output)
    assert len(merged) == count
    return merged, read_ledger(ledger)


def test_merged_file_holds_all_first_ranks_first(tmp_path):
    first = [_selected(f"d_{rank}", rank) for rank in (1, 2, 3, 10)]
    second = [_selected(f"b_{rank}", rank, dataset="b") for rank in (1, 2, 9)]
    merged, ledger = _merge(tmp_path, first, second, [])
    assert [sample.id for sample in merged] == ["b_1", "d_1", "b_2", "d_2", "d_3", "b_9", "d_10"]
    assert sorted(merged, key=lambda s: s.id) == sorted(first + second, key=lambda s: s.id)
    assert (ledger["rows_in"], ledger["rows_kept"], ledger["rejected"]) == (7, 7, {})
    (tmp_path / "turned").mkdir()
    assert _merge(tmp_path / "turned", second, first)[0] == merged


def test_merged_file_of_hard_texts_is_read_by_datasets(tmp_path):
    from datasets import load_dataset

    texts = [*HARD_TEXTS, "plain"]
    samples = [
        _selected(sample_id, rank, response=text)
        for rank, (sample_id, text) in enumerate(zip(HARD_IDS, texts, strict=True), start=1)
    ]
    _merge(tmp_path, samples)
    found = load_dataset(
        "json",
        data_files=str(tmp_path / "selected_data.jsonl"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert found["id"][:] == HARD_IDS
    assert [messages[-1]["content"] for messages in found["messages"]] == texts


def test_datasets_with_other_scores_and_fields_are_merged(tmp_path):
    first = [_selected("d_1", 1, scores={"quality": 1.0, "ifd": 0.5}, reference={"answer": "5"})]
    second = [_selected("b_1", 1, dataset="b", scores={"quality": 2.0}, meta={"page": 3})]
    merged, _ = _merge(tmp_path, first, second)
    assert [sample.scores for sample in merged] == [second[0].scores, first[0].scores]


def test_id_that_occurs_twice_is_refused(tmp_path):
    files = [_selected("d_1", 1), _selected("d_2", 2)], [_selected("d_1", 2), _selected("d_3", 1)]
    with pytest.raises(SelectionError, match=r"ids occur twice: d_1\n  in .*in_0.*in_1"):
        _merge(tmp_path, *files)
    assert not (tmp_path / "selected_data.jsonl").exists()


def test_merging_nothing_is_refused(tmp_path):
    with pytest.raises(SelectionError, match="no sample was selected"):
        _merge(tmp_path, [], [])


def test_line_that_was_not_selected_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 2 is not a selected sample\n  in .*in_0"):
        _merge(tmp_path, [_selected("d_1", 1), make_sample("d_2")])


def test_kept_ids_are_those_of_the_ranking(tmp_path):
    table = score_table(count=40)
    rows = select_samples(table, settings=make_selection(strategy="diversity", selection_count=9))
    kept, _ = _keep(tmp_path, table, samples_of(table), rows=rows)
    assert [sample.id for sample in kept] == ids_at(table, rows)
    assert [sample.rank for sample in kept] == list(range(1, 10))

"""Scores of samples, against a reference of plain loops."""

import logging
import math
import random

import pyarrow as pa
import pytest
import torch
from selections_for_tests import random_records, router_data

from sluice.errors import ScoringError
from sluice.router_data import read_router_data
from sluice.selection import scores as scores_module
from sluice.selection.scores import score_samples
from sluice.settings.selection import ScoreSamples

NO_SCORES = ("id", "dataset", "num_tokens", "num_response_tokens", "status")


def _score(data, **settings):
    return score_samples(data, settings=ScoreSamples(**settings))


def _by_id(table):
    return {row["id"]: row for row in table.to_pylist()}


def _reference(data, *, alpha=1.0, scored_tokens="response"):
    """id -> scores, by the formulas of the docstrings, one token after the other."""
    found = {}
    for n, sample_id in enumerate(data.sample_ids):
        entries = range(int(data.offsets[n]), int(data.offsets[n + 1]))
        used = [e for e in entries if scored_tokens == "all" or bool(data.is_response[e])]
        nlls = [math.log(data.perplexities[e].item()) for e in used]
        mean_nll = math.fsum(nlls) / len(nlls)
        excess = [nll - data.entropies[e].item() for nll, e in zip(nlls, used, strict=True)]
        normalised = [
            value / max(math.sqrt(data.varentropies[e].item()), 0.1)
            for value, e in zip(excess, used, strict=True)
        ]
        scores = {
            "perplexity": math.exp(mean_nll),
            "response_nll": mean_nll,
            "ifd": math.exp(mean_nll - data.response_nll_alone[n].item()),
        }
        for kind, values in (("excess", excess), ("normalised", normalised)):
            worst = sorted(values, reverse=True)
            tenth, fifth = worst[: -(-len(worst) // 10)], worst[: -(-len(worst) // 5)]
            scores[f"{kind}_surprise_mean"] = math.fsum(values) / len(values)
            scores[f"{kind}_surprise_max"] = worst[0]
            scores[f"{kind}_surprise_worst_tenth"] = math.fsum(tenth) / len(tenth)
            scores[f"{kind}_surprise_worst_fifth"] = math.fsum(fifth) / len(fifth)
        powers = [data.perplexities[e].item() ** alpha for e in used]
        for layer in range(data.num_layers):
            sigmoids = [1 / (1 + math.exp(-data.quality_gates[e, layer].item())) for e in used]
            weighted = math.fsum(p * s for p, s in zip(powers, sigmoids, strict=True))
            scores[f"gate_layer_{layer:02d}"] = weighted / math.fsum(powers)
        found[sample_id] = scores
    _add_quality(found, num_layers=data.num_layers)
    return found


def _add_quality(found, *, num_layers):
    scaled = {sample_id: [] for sample_id in found}
    for layer in range(num_layers):
        values = {sample_id: row[f"gate_layer_{layer:02d}"] for sample_id, row in found.items()}
        low, high = min(values.values()), max(values.values())
        if low == high:
            continue
        mean = math.fsum(values.values()) / len(values)
        for sample_id, value in values.items():
            scaled[sample_id].append((value - low) / ((high - low) * mean))
    for sample_id, parts in scaled.items():
        found[sample_id]["quality"] = math.fsum(parts) / len(parts)


def _assert_same(table, expected):
    rows = _by_id(table)
    assert set(rows) == set(expected)
    for sample_id, scores in expected.items():
        found = {name: rows[sample_id][name] for name in scores}
        assert found == pytest.approx(scores, rel=1e-5, abs=1e-6), sample_id
        assert rows[sample_id]["status"] == "ok"


@pytest.mark.parametrize("alpha", [0, 1, -1, 2.5])
@pytest.mark.parametrize("scored_tokens", ["response", "all"])
def test_scores_are_those_of_the_plain_reference(alpha, scored_tokens):
    data = router_data(random_records(60))
    table = _score(data, alpha=alpha, scored_tokens=scored_tokens)
    _assert_same(table, _reference(data, alpha=alpha, scored_tokens=scored_tokens))


def test_every_column_is_in_its_place():
    table = _score(router_data(random_records(3, num_layers=2)))
    summaries = ["mean", "max", "worst_tenth", "worst_fifth"]
    surprise = [f"{kind}_surprise_{s}" for kind in ("excess", "normalised") for s in summaries]
    assert table.column_names == [
        *("id", "dataset", "num_tokens", "num_response_tokens"),
        *("quality", "perplexity", "response_nll", *surprise, "ifd"),
        *("gate_layer_00", "gate_layer_01", "status"),
    ]
    assert set(table["dataset"].to_pylist()) == {"d"}


def test_two_samples_by_hand():
    # Weights 1/4 and 3/4 of sigmoids 1/2 and 3/4; the prompt's entry counts nowhere.
    first = {
        "id": "a",
        "gates": [[9.0], [0.0], [math.log(3)]],
        "perplexities": [50.0, 1.0, 3.0],
        "is_response": [False, True, True],
        "entropies": [9.0, 0.0, 0.5],
        "varentropies": [0.0, 0.0, 0.25],
        "alone": 0.0,
    }
    second = first | {"id": "b", "gates": [[9.0], [0.0], [0.0]]}
    rows = _by_id(_score(router_data([first, second])))
    row = rows["a"]
    assert row["gate_layer_00"] == pytest.approx(1 / 8 + 9 / 16, rel=1e-3)  # float16 gates
    assert rows["b"]["gate_layer_00"] == pytest.approx(0.5)
    assert (row["num_tokens"], row["num_response_tokens"]) == (4, 2)
    assert row["response_nll"] == pytest.approx(math.log(3) / 2)
    assert row["perplexity"] == pytest.approx(math.sqrt(3))
    assert row["ifd"] == pytest.approx(math.sqrt(3))
    assert row["excess_surprise_max"] == pytest.approx(math.log(3) - 0.5)
    assert row["excess_surprise_mean"] == pytest.approx((math.log(3) - 0.5) / 2)
    assert row["normalised_surprise_max"] == pytest.approx((math.log(3) - 0.5) / 0.5)
    assert (rows["b"]["quality"], row["quality"]) == pytest.approx((0, 1 / 0.59375), rel=1e-3)


def test_surprise_of_a_certain_prediction_is_divided_by_a_tenth_of_a_nat():
    record = random_records(1)[0]
    length = len(record["perplexities"])
    record |= {"varentropies": [0.0] * length, "perplexities": [math.e] * length}
    record |= {"entropies": [0.5] * length}
    row = _score(router_data([record, record | {"id": "e"}])).to_pylist()[0]
    assert row["normalised_surprise_mean"] == pytest.approx(5)


def test_layer_that_says_the_same_of_all_is_left_out_of_quality(caplog):
    records = random_records(20)
    for record in records:
        record["gates"] = [[first, 0.0, last] for first, _, last in record["gates"]]
    # alpha 0 and a sigmoid of 1/2 everywhere: the weighted sum may differ in its last bit.
    data = router_data(records)
    with caplog.at_level(logging.WARNING):
        table = _score(data, alpha=0)
    reference = _reference(data, alpha=0)
    for row in reference.values():
        row["gate_layer_01"] = 0.5
    _add_quality(reference, num_layers=3)
    _assert_same(table, reference)
    assert "1 of 3 layers are constant" in caplog.text


def test_quality_of_gates_that_say_the_same_of_all_is_null():
    records = random_records(5)
    for record in records:
        record["gates"] = [[0.0] * 3 for _ in record["gates"]]
    table = _score(router_data(records))
    assert table["quality"].null_count == 5
    assert set(table["status"].to_pylist()) == {"ok"}


@pytest.mark.parametrize("scored_tokens", ["response", "all"])
def test_sample_without_response_token_is_named_and_changes_no_other(scored_tokens):
    records = random_records(12)
    odd = records[4] | {"id": "odd", "is_response": [False] * len(records[4]["is_response"])}
    table = _score(router_data([*records[:6], odd, *records[6:]]), scored_tokens=scored_tokens)
    _assert_without_scores(table, "odd", status="no_response_token", like=records, n=scored_tokens)


def test_sample_of_one_token_is_one_without_response_token():
    records = random_records(12)
    names = ("gates", "perplexities", "is_response", "entropies", "varentropies")
    empty = records[0] | {"id": "odd"} | {name: [] for name in names}
    for place in (0, 6, 12):
        table = _score(router_data([*records[:place], empty, *records[place:]]))
        _assert_without_scores(table, "odd", status="no_response_token", like=records)
        assert _by_id(table)["odd"]["num_tokens"] == 1


@pytest.mark.parametrize("value", [math.inf, math.nan, 0.0, -1.0])
@pytest.mark.parametrize("place", [0, -1])
def test_sample_with_a_broken_perplexity_is_named_and_changes_no_other(value, place):
    records = random_records(12)
    odd = records[3] | {"id": "odd", "perplexities": list(records[3]["perplexities"])}
    odd["perplexities"][place] = value
    table = _score(router_data([*records[:6], odd, *records[6:]]))
    _assert_without_scores(table, "odd", status="not_finite", like=records)


@pytest.mark.parametrize("name", ["entropies", "varentropies"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_sample_with_a_broken_entropy_is_named_and_changes_no_other(name, value):
    records = random_records(12)
    odd = records[3] | {"id": "odd", name: [*records[3][name][:-1], value]}
    table = _score(router_data([*records[:6], odd, *records[6:]]))
    _assert_without_scores(table, "odd", status="not_finite", like=records)


def test_sample_with_a_broken_gate_is_named_and_changes_no_other():
    records = random_records(12)
    odd = records[3] | {"id": "odd", "gates": [*records[3]["gates"][:-1], [0.0, math.nan, 0.0]]}
    table = _score(router_data([*records[:6], odd, *records[6:]]))
    _assert_without_scores(table, "odd", status="not_finite", like=records)


def test_ifd_of_a_response_without_finite_nll_alone_is_null_and_the_rest_stands():
    records = random_records(3)
    records[1]["alone"] = math.nan
    row = _by_id(_score(router_data(records)))["d_1"]
    assert (row["ifd"], row["status"]) == (None, "ok")
    assert row["perplexity"] > 1


def _assert_without_scores(table, sample_id, *, status, like, n="response"):
    alone = _by_id(_score(router_data(like), scored_tokens=n))
    rows = _by_id(table)
    odd = rows.pop(sample_id)
    assert odd["status"] == status
    assert {value for name, value in odd.items() if name not in NO_SCORES} == {None}
    _assert_equal_rows(rows, alone)


def _assert_equal_rows(rows, expected):
    assert list(rows) == list(expected)
    for sample_id, row in rows.items():
        assert row.keys() == expected[sample_id].keys()
        for name, value in row.items():
            other = expected[sample_id][name]
            is_number = isinstance(value, float)
            assert value == (pytest.approx(other, rel=1e-6) if is_number else other), name


def test_no_sample_with_a_score_is_an_error_with_ids():
    records = random_records(5)
    for record in records:
        record["is_response"] = [False] * len(record["is_response"])
    with pytest.raises(ScoringError, match=r"no sample of d .*d_0, d_1, d_2 and 2 more"):
        _score(router_data(records))


def test_no_sample_at_all_is_an_error():
    data = router_data(random_records(1))
    empty = type(data)(
        "none",
        [],
        torch.zeros(1, dtype=torch.int64),
        data.quality_gates[:0],
        *[data.is_response] * 2,
    )
    with pytest.raises(ScoringError, match="router data of none holds no sample"):
        _score(empty)


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_scoring_in_small_blocks_is_scoring_at_once(monkeypatch, at_once):
    records = random_records(30)
    records[4]["is_response"] = [False] * len(records[4]["is_response"])
    records[9]["perplexities"][0] = math.inf
    whole = _score(router_data(records))
    monkeypatch.setattr(scores_module, "_ENTRIES_AT_ONCE", at_once)
    blocks = _score(router_data(records))
    assert blocks.schema == whole.schema
    _assert_equal_rows(_by_id(blocks), _by_id(whole))


def test_order_of_samples_does_not_matter_and_rows_are_sorted_by_id():
    records = random_records(30)
    table = _score(router_data(records))
    random.Random(3).shuffle(records)
    again = _score(router_data(records))
    assert table["id"].to_pylist() == sorted(table["id"].to_pylist())
    _assert_equal_rows(_by_id(again), _by_id(table))


@pytest.mark.parametrize(
    ("without", "nulls"),
    [
        (("entropies", "varentropies"), ("excess", "normalised")),
        (("varentropies",), ("normalised",)),
        (("response_nll_alone",), ("ifd",)),
    ],
)
def test_score_of_a_field_that_is_not_there_is_null(without, nulls):
    data = router_data(random_records(6))
    table = _score(router_data(random_records(6), without=without))
    whole = _score(data)
    for name in table.column_names:
        if name.startswith(nulls):
            assert table[name].null_count == 6
            assert table[name].type == pa.float64()
        else:
            assert table[name].equals(whole[name])


def test_dense_file_gives_the_scores_over_all_tokens_and_no_surprise(tmp_path):
    data = router_data(random_records(8))
    torch.save(data.to_dense(), tmp_path / "d_router_data.pt")
    table = _score(read_router_data(tmp_path / "d_router_data.pt"))
    expected = _reference(data, scored_tokens="all")
    for row in expected.values():
        for name in [name for name in row if "surprise" in name or name == "ifd"]:
            del row[name]
    _assert_same(table, expected)
    for name in table.column_names:
        if "surprise" in name or name == "ifd":
            assert table[name].null_count == 8


def test_dense_sample_with_a_broken_perplexity_is_named(tmp_path):
    dense = router_data(random_records(8)).to_dense()
    dense["perplexities"][2, 0] = math.nan
    torch.save(dense, tmp_path / "d_router_data.pt")
    table = _score(read_router_data(tmp_path / "d_router_data.pt"))
    assert _by_id(table)["d_2"]["status"] == "not_finite"

"""Which samples are kept, and in which order, worked out by hand."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError
from selections_for_tests import ids_at, make_selection, score_table, shuffled

from sluice.errors import SelectionError
from sluice.selection.ranking import num_kept, select_random, select_samples
from sluice.settings.selection import SelectionSize, SelectRandom

ALL = {"selection_percentage": 1.0}


def _ranked(table, **settings):
    """The kept ids, best first."""
    return ids_at(table, select_samples(table, settings=make_selection(**settings)))


def _drawn(table, *, seed=42, **settings):
    settings = SelectRandom(**settings)
    return ids_at(table, select_random(table, settings=settings, seed=seed))


@pytest.mark.parametrize(("num_samples", "expected"), [(1, 1), (20, 1), (21, 2), (2000, 100)])
def test_share_is_rounded_up_to_at_least_one(num_samples, expected):
    size = SelectionSize(selection_percentage=0.05)
    assert num_kept(size, num_tokens_N=np.ones(num_samples, dtype=int)) == expected


@given(st.integers(1, 1000), st.integers(1, 3000))
def test_share_is_that_of_decimal_arithmetic(thousandths, num_samples):
    size = SelectionSize(selection_percentage=thousandths / 1000)
    found = num_kept(size, num_tokens_N=np.ones(num_samples, dtype=int))
    assert found == -(-thousandths * num_samples // 1000)


def test_share_of_a_whole_number_of_samples_is_not_rounded_up_by_floating_point():
    assert 0.07 * 100 > 7
    size = SelectionSize(selection_percentage=0.07)
    assert num_kept(size, num_tokens_N=np.ones(100, dtype=int)) == 7


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (4, 4), (5, 5), (9, 5)])
def test_count_is_kept_where_there_are_so_many(count, expected):
    size = SelectionSize(selection_count=count)
    assert num_kept(size, num_tokens_N=np.ones(5, dtype=int)) == expected


@pytest.mark.parametrize(
    ("budget", "expected"), [(1, 1), (10, 1), (29, 1), (30, 2), (35, 3), (36, 3), (1000, 4)]
)
def test_samples_are_kept_until_the_token_budget_is_full_and_at_least_one(budget, expected):
    size = SelectionSize(selection_token_budget=budget)
    assert num_kept(size, num_tokens_N=np.array([10, 20, 5, 40])) == expected


def test_count_and_token_budget_together_are_an_error():
    size = SelectionSize(selection_count=1, selection_token_budget=1)
    with pytest.raises(SelectionError, match="both selection_count and selection_token_budget"):
        num_kept(size, num_tokens_N=np.ones(3, dtype=int))


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_share_outside_of_zero_to_one_is_refused(share):
    with pytest.raises(ValidationError):
        SelectionSize(selection_percentage=share)


def test_quality_based_keeps_the_highest_quality():
    table = score_table(quality=[0.3, 0.9, 0.1, 0.5], ids=["a", "b", "c", "d"])
    assert _ranked(table, strategy="quality_based", **ALL) == ["b", "d", "a", "c"]
    assert _ranked(table, strategy="quality_based", selection_count=2) == ["b", "d"]


def test_perplexity_based_keeps_the_end_that_is_asked_for():
    table = score_table(perplexity=[7.0, 2.0, 30.0], ids=["a", "b", "c"])
    assert _ranked(table, strategy="perplexity_based", **ALL) == ["b", "a", "c"]
    highest = _ranked(table, strategy="perplexity_based", perplexity_order="highest", **ALL)
    assert highest == ["c", "a", "b"]


def test_default_keeps_the_lowest_excess_surprise():
    table = score_table(excess_surprise_max=[4.0, -1.0, 2.0], ids=["a", "b", "c"])
    assert _ranked(table, **ALL) == ["b", "c", "a"]


def test_hybrid_uses_the_named_surprise_score():
    table = score_table(
        excess_surprise_max=[1.0, 2.0, 3.0], normalised_surprise_mean=[3.0, 1.0, 2.0]
    )
    found = _ranked(table, hybrid_surprise_score="normalised_surprise_mean", **ALL)
    assert found == ["d_00001", "d_00002", "d_00000"]


@pytest.mark.parametrize(
    ("quality_weight", "surprise_weight", "expected"),
    [
        (0, 1, "bcda"),
        (1, 0, "dcba"),
        # quality ranks a 1, b 2, c 3, d 4; surprise ranks a 4, b 1, c 2, d 3.
        (1, 2, "bcda"),  # 7, 0, 1, 2
        (2, 1, "dcba"),  # 2, -3, -4, -5
        (1, 1, "bcda"),  # 3, -1, -1, -1: the ids decide
        (0.5, 0.5, "bcda"),
        (3, 2, "dcba"),  # 5, -4, -5, -6
    ],
)
def test_hybrid_weighs_the_ranks(quality_weight, surprise_weight, expected):
    table = score_table(
        # The distances are nothing, the ranks are all.
        quality=[-900.0, 0.2, 0.3, 0.31],
        excess_surprise_max=[500.0, 0.1, 0.11, 90.0],
        ids=list("abcd"),
    )
    weights = {
        "hybrid_quality_weight": quality_weight,
        "hybrid_surprise_weight": surprise_weight,
    }
    assert "".join(_ranked(table, **weights, **ALL)) == expected


def test_hybrid_without_any_weight_is_an_error():
    with pytest.raises(SelectionError, match="both weights of the hybrid strategy are 0"):
        _ranked(score_table(count=3), hybrid_surprise_weight=0)


@pytest.mark.parametrize("strategy", ["hybrid", "quality_based", "perplexity_based"])
def test_ties_are_broken_by_id_in_any_order_of_rows(strategy):
    ids = ["b", "10", "2", "B", "é", "z", "数", "a"]
    same = [1.0] * 7 + [2.0]
    table = score_table(quality=same, perplexity=same, excess_surprise_max=same, ids=ids)
    tied = ["10", "2", "B", "b", "z", "é", "数"]
    expected = ["a", *tied] if strategy == "quality_based" else [*tied, "a"]
    for seed in range(5):
        assert _ranked(shuffled(table, seed=seed), strategy=strategy, **ALL) == expected


@pytest.mark.parametrize("strategy", ["hybrid", "quality_based", "perplexity_based", "diversity"])
def test_samples_with_another_status_are_not_looked_at(strategy):
    nulls = [None, 1.0, 2.0, 3.0, None]
    names = ("quality", "perplexity", "excess_surprise_max", "gate_layer_00", "gate_layer_01")
    status = ["no_response_token", "ok", "ok", "ok", "not_finite"]
    table = score_table(dict.fromkeys(names, nulls), status=status)
    found = _ranked(table, strategy=strategy, **ALL)
    assert sorted(found) == ["d_00001", "d_00002", "d_00003"]
    # A third of three, not of five.
    assert len(_ranked(table, strategy=strategy, selection_percentage=0.33)) == 1


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("quality", {"strategy": "quality_based"}),
        ("perplexity", {"strategy": "perplexity_based"}),
        ("excess_surprise_max", {}),
        ("excess_surprise_max", {"strategy": "diversity"}),
        ("quality", {"hybrid_quality_weight": 0.1}),
    ],
)
@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_missing_or_broken_score_is_an_error_with_ids(name, settings, value):
    table = score_table({name: [1.0, value, 2.0, value, value, value]})
    message = (
        rf"score '{name}' is missing or not finite for 4 of 6 samples "
        r"\(first ids: d_00001, d_00003, d_00004 and 1 more\)"
    )
    with pytest.raises(SelectionError, match=message):
        _ranked(table, **settings)


def test_score_that_is_not_used_may_be_missing():
    table = score_table(quality=[0.1, 0.2], excess_surprise_max=[None, None])
    assert _ranked(table, strategy="quality_based") == ["d_00001"]


def test_score_that_is_the_same_for_all_is_an_error():
    table = score_table(quality=[0.5] * 4)
    with pytest.raises(SelectionError, match=r"score 'quality' is 0\.5 for all 4 samples"):
        _ranked(table, strategy="quality_based")


def test_one_sample_alone_is_kept():
    assert _ranked(score_table(count=1)) == ["d_00000"]
    assert _ranked(score_table(count=1), strategy="diversity") == ["d_00000"]


@pytest.mark.parametrize("select", [_ranked, _drawn])
def test_no_sample_with_a_score_is_an_error(select):
    nothing = score_table(quality=[None, None], status=["not_finite", "no_response_token"])
    for table in (nothing, nothing.slice(0, 0)):
        with pytest.raises(SelectionError, match="no sample has a score"):
            select(table)


def _clustered(sizes, *, seed=0):
    """Samples in well separated clusters, the first clusters the worst of all."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    angle = 2 * np.pi * cluster / len(sizes)
    gates = np.stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.01, (2, len(cluster)))
    table = score_table(
        gate_layer_00=gates[0].tolist(),
        gate_layer_01=gates[1].tolist(),
        excess_surprise_max=np.arange(len(cluster), 0, -1.0).tolist(),
        ids=[f"c{c}_{n:03d}" for n, c in enumerate(cluster)],
    )
    return table


@pytest.mark.parametrize("num_clusters", [6, 20])
def test_diversity_covers_every_cluster_when_enough_are_kept(num_clusters):
    table = _clustered([50, 3, 20, 1, 40, 7])
    settings = {"strategy": "diversity", "num_clusters": num_clusters}
    found = _ranked(table, selection_count=20, **settings)
    assert {each[:2] for each in found} == {"c0", "c1", "c2", "c3", "c4", "c5"}
    assert len(set(found)) == 20
    best = _ranked(table, selection_count=6)
    assert {each[:2] for each in best} == {"c5"}


def test_diversity_takes_the_best_of_each_cluster_in_turn():
    table = score_table(
        gate_layer_00=[0.0, 0.01, 0.02, 0.03, 5.0, 5.01, 9.0],
        gate_layer_01=[0.0] * 7,
        excess_surprise_max=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5],
        ids=list("abcdefg"),
    )
    found = _ranked(table, strategy="diversity", num_clusters=3, selection_count=6)
    assert found == ["g", "a", "e", "b", "f", "c"]


def test_diversity_keeps_fewer_than_it_has_clusters_where_fewer_are_asked_for():
    table = _clustered([5, 5, 5, 5])
    found = _ranked(table, strategy="diversity", selection_count=2)
    assert len(set(found)) == 2


def test_diversity_of_gates_that_are_all_the_same_is_the_order_of_the_scores():
    same = [0.5] * 6
    table = score_table(gate_layer_00=same, gate_layer_01=same)
    expected = ["d_00000", "d_00001", "d_00002"]
    assert _ranked(table, strategy="diversity", selection_count=3) == expected


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_diversity_does_not_depend_on_the_order_of_rows(seed):
    # No clear clusters, so that every step of the clustering matters.
    rng = np.random.default_rng(seed)
    gates = {f"gate_layer_{n:02d}": rng.normal(size=300).tolist() for n in range(4)}
    table = score_table(gates, excess_surprise_max=rng.normal(size=300).tolist())
    settings = {"strategy": "diversity", "selection_count": 50}
    assert _ranked(shuffled(table, seed=seed), **settings) == _ranked(table, **settings)


@pytest.mark.parametrize("strategy", ["hybrid", "diversity"])
def test_token_budget_is_not_exceeded(strategy):
    # The best samples are short, and all of one cluster; the others are long.
    table = _clustered([10, 10])
    num_tokens = pa.array([100] * 10 + [1] * 10, pa.int64())
    place = table.column_names.index("num_tokens")
    table = table.set_column(place, "num_tokens", num_tokens)
    rows = select_samples(
        table, settings=make_selection(strategy=strategy, selection_token_budget=210)
    )
    kept_tokens = sum(num_tokens[int(row)].as_py() for row in rows)
    assert 100 <= kept_tokens <= 210


def test_random_draw_is_the_same_in_any_order_of_rows():
    table = score_table(count=100)
    drawn = _drawn(table, selection_percentage=0.3)
    assert len(set(drawn)) == 30
    for seed in range(3):
        assert _drawn(shuffled(table, seed=seed), selection_percentage=0.3) == drawn


def test_random_draw_does_not_look_at_other_datasets_or_scores():
    own, other = score_table(count=50), score_table(count=80, dataset="e")
    both = shuffled(pa.concat_tables([other, own]))
    own_of_both = [each for each in _drawn(both, **ALL) if each.startswith("d_")]
    assert own_of_both == _drawn(own, **ALL)
    rescored = score_table(count=50, quality=[None] * 50)
    assert _drawn(rescored, **ALL) == _drawn(own, **ALL)


def test_random_draw_changes_with_the_seed():
    table = score_table(count=100)
    assert _drawn(table, seed=1) == _drawn(table, seed=1)
    assert _drawn(table, seed=1) != _drawn(table, seed=2)


def test_every_sample_is_drawn_about_as_often_as_any_other():
    table = score_table(count=4)
    counts = Counter(_drawn(table, seed=seed, selection_count=1)[0] for seed in range(800))
    # 200 each, give or take four standard deviations of 12.
    assert len(counts) == 4
    assert all(abs(count - 200) < 50 for count in counts.values())


def test_samples_without_a_score_are_not_drawn():
    table = score_table(quality=[1.0, None, 2.0], status=["ok", "not_finite", "ok"])
    assert sorted(_drawn(table, **ALL)) == ["d_00000", "d_00002"]


@hypothesis_settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 60),
    st.one_of(
        st.floats(0.01, 1).map(lambda share: {"selection_percentage": share}),
        st.integers(1, 80).map(lambda count: {"selection_count": count}),
        st.integers(1, 700).map(lambda budget: {"selection_token_budget": budget}),
    ),
)
def test_as_many_are_drawn_as_are_selected(count, size):
    status = (["ok", "ok", "not_finite"] * count)[:count]
    table = score_table(count=count, status=status)
    assert len(_drawn(table, **size)) == len(_ranked(table, **size))

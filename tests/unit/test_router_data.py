"""Router data files come back as they were, join, convert, and run no code."""

import pickle
from dataclasses import fields, replace

import pytest
import torch
from support import MakesFile

from sluice.errors import DataError
from sluice.router_data import RouterData, join_router_data, read_router_data, write_router_data


def _data(lengths=None, *, dataset="some", num_layers=2, with_alone=True):
    """Router data of samples with so many entries each, every number another one."""
    lengths = lengths or {"a": 3, "b": 1, "c": 4}
    size = sum(lengths.values())
    offsets = torch.tensor([0, *lengths.values()]).cumsum(0)
    start = sum(map(ord, "".join(lengths)))
    numbers = torch.arange(size) + start
    return RouterData(
        dataset_name=dataset,
        sample_ids=list(lengths),
        offsets=offsets,
        quality_gates=torch.stack([numbers / (9 + layer) for layer in range(num_layers)], 1).half(),
        perplexities=1 + numbers / 7,
        is_response=numbers % 3 == 0,
        entropies=(numbers / 64).half(),
        varentropies=(numbers / 32).half(),
        response_nll_alone=torch.arange(len(lengths)) + start / 10 if with_alone else None,
    )


def _assert_equal(found, expected):
    for field in fields(RouterData):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, torch.Tensor):
            assert one.dtype == other.dtype, field.name
            assert torch.equal(one, other), field.name
        else:
            assert one == other, field.name


# Files


def test_written_data_comes_back(tmp_path):
    write_router_data(tmp_path / "d.pt", _data())
    _assert_equal(read_router_data(tmp_path / "d.pt"), _data())


def test_absent_columns_stay_absent(tmp_path):
    data = replace(_data(), entropies=None, response_nll_alone=None)
    write_router_data(tmp_path / "d.pt", data)
    _assert_equal(read_router_data(tmp_path / "d.pt"), data)


def test_bytes_do_not_depend_on_the_path(tmp_path):
    write_router_data(tmp_path / "one.pt", _data())
    write_router_data(tmp_path / "folder/two.pt", _data())
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "folder/two.pt").read_bytes()


def test_file_says_how_much_it_holds(tmp_path):
    write_router_data(tmp_path / "d.pt", _data())
    values = torch.load(tmp_path / "d.pt", weights_only=True)
    assert values["dataset_name"] == "some"
    # The longest sample has four entries, and the token before them.
    assert (values["num_samples"], values["num_layers"], values["max_seq_len"]) == (3, 2, 5)


def test_counts_are_those_of_the_columns():
    data = _data()
    assert (data.num_samples, data.num_layers) == (3, 2)
    assert data.num_entries().tolist() == [3, 1, 4]


# The dense layout


def test_dense_layout_is_padded_with_zeros_and_has_layers_before_tokens():
    data = _data({"a": 2, "b": 1})
    dense = data.to_dense()
    gates, perplexities = data.quality_gates.float(), data.perplexities
    assert (dense["dataset_name"], dense["num_samples"]) == ("some", 2)
    assert dense["sample_ids"] == ["a", "b"]
    assert dense["quality_gates"].dtype == dense["perplexities"].dtype == torch.float32
    assert dense["quality_gates"].tolist() == [
        [[gates[0, 0], gates[1, 0]], [gates[0, 1], gates[1, 1]]],
        [[gates[2, 0], 0], [gates[2, 1], 0]],
    ]
    assert dense["perplexities"].tolist() == [
        [perplexities[0], perplexities[1]],
        [perplexities[2], 0],
    ]


def test_dense_file_gives_the_same_logits_and_perplexities(tmp_path):
    data = _data()
    torch.save(data.to_dense(), tmp_path / "dense.pt")
    found = read_router_data(tmp_path / "dense.pt")
    for name in ("sample_ids", "dataset_name"):
        assert getattr(found, name) == getattr(data, name)
    for name in ("offsets", "quality_gates", "perplexities"):
        assert torch.equal(getattr(found, name), getattr(data, name)), name
    # A dense file does not say which tokens are responses: all count.
    assert found.is_response.all()
    assert found.entropies is found.varentropies is found.response_nll_alone is None


def test_dense_file_without_ids_numbers_its_samples(tmp_path):
    dense = _data().to_dense()
    del dense["sample_ids"], dense["num_samples"]
    torch.save(dense, tmp_path / "dense.pt")
    assert read_router_data(tmp_path / "dense.pt").sample_ids == ["some_0", "some_1", "some_2"]


# Files that cannot be read


@pytest.mark.parametrize("is_zip", [True, False])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, is_zip):
    values = {**_data().to_dense(), "note": MakesFile(tmp_path / "ran")}
    torch.save(values, tmp_path / "d.pt", _use_new_zipfile_serialization=is_zip)
    with pytest.raises(DataError, match="not a router data file") as caught:
        read_router_data(tmp_path / "d.pt")
    assert "never loaded" in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_plain_pickle_with_code_is_refused_and_not_run(tmp_path):
    attack = pickle.dumps(MakesFile(tmp_path / "ran"))
    (tmp_path / "d.pt").write_bytes(attack)
    with pytest.raises(DataError, match="not a router data file"):
        read_router_data(tmp_path / "d.pt")
    assert not (tmp_path / "ran").exists()
    pickle.loads(attack)  # the attack itself would work
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_cut_off_file_is_refused(tmp_path, keep):
    write_router_data(tmp_path / "d.pt", _data())
    content = (tmp_path / "d.pt").read_bytes()
    end = int(len(content) * keep) if isinstance(keep, float) else keep
    (tmp_path / "d.pt").write_bytes(content[:end])
    with pytest.raises(DataError, match="not a router data file"):
        read_router_data(tmp_path / "d.pt")


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_router_data(tmp_path / "d.pt")


def _spoiled(tmp_path, **changes):
    """A written file with some of its values replaced; None takes one out."""
    write_router_data(tmp_path / "d.pt", _data())
    values = {**torch.load(tmp_path / "d.pt", weights_only=True), **changes}
    torch.save({k: v for k, v in values.items() if v is not None}, tmp_path / "d.pt")
    return tmp_path / "d.pt"


@pytest.mark.parametrize(
    "name", ["dataset_name", "sample_ids", "quality_gates", "perplexities", "is_response"]
)
def test_file_that_lacks_a_field_is_refused_with_its_name(tmp_path, name):
    with pytest.raises(DataError, match=f"lacks {name}$"):
        read_router_data(_spoiled(tmp_path, **{name: None}))


def test_dense_file_that_lacks_a_field_is_refused_with_its_name(tmp_path):
    dense = _data().to_dense()
    del dense["perplexities"]
    torch.save(dense, tmp_path / "d.pt")
    with pytest.raises(DataError, match=r"lacks perplexities$"):
        read_router_data(tmp_path / "d.pt")


def test_tensor_file_of_another_kind_is_refused(tmp_path):
    torch.save(torch.zeros(3), tmp_path / "d.pt")
    with pytest.raises(DataError, match="lacks dataset_name, perplexities, quality_gates"):
        read_router_data(tmp_path / "d.pt")


def test_file_of_another_version_is_refused(tmp_path):
    with pytest.raises(DataError, match="of format version 99") as caught:
        read_router_data(_spoiled(tmp_path, format_version=99))
    assert "collect the router data anew" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_ids": ["a", "b"]},
        {"offsets": torch.tensor([0, 3, 4, 7])},
        {"offsets": torch.tensor([0, 4, 3, 8])},
        {"offsets": torch.tensor([1, 3, 4, 8])},
        {"offsets": torch.zeros(0, dtype=torch.int64)},
        {"perplexities": torch.ones(7)},
        {"quality_gates": torch.zeros(7, 2)},
        {"is_response": torch.ones(7, dtype=torch.bool)},
        {"entropies": torch.zeros(9)},
        {"response_nll_alone": torch.zeros(2)},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_file_whose_columns_do_not_fit_together_is_refused(tmp_path, changes):
    with pytest.raises(DataError, match="is damaged"):
        read_router_data(_spoiled(tmp_path, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"quality_gates": torch.zeros(3, 2, 5)},
        {"sample_ids": ["a", "b"]},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_dense_file_whose_tensors_do_not_fit_together_is_refused(tmp_path, changes):
    torch.save({**_data().to_dense(), **changes}, tmp_path / "d.pt")
    with pytest.raises(DataError, match="is damaged"):
        read_router_data(tmp_path / "d.pt")


# Shards


def test_joined_shards_are_sorted_by_id_and_keep_each_samples_entries():
    first, second = _data({"c": 2, "a": 3}), _data({"d": 1, "b": 4})
    joined = join_router_data([first, second])
    assert joined.sample_ids == ["a", "b", "c", "d"]
    assert joined.num_entries().tolist() == [3, 4, 2, 1]
    for name in ("quality_gates", "perplexities", "is_response", "entropies", "varentropies"):
        one, other = getattr(first, name), getattr(second, name)
        by_hand = torch.cat([one[2:5], other[1:5], one[0:2], other[0:1]])
        assert torch.equal(getattr(joined, name), by_hand), name
    (c, a), (d, b) = first.response_nll_alone.tolist(), second.response_nll_alone.tolist()
    assert joined.response_nll_alone.tolist() == [a, b, c, d]


def test_order_of_the_shards_does_not_count():
    shards = [_data({"c": 2, "a": 3}), _data({"d": 1, "b": 4}), _data({"e": 2})]
    _assert_equal(join_router_data(shards), join_router_data(shards[::-1]))


def test_one_shard_is_the_dataset():
    _assert_equal(join_router_data([_data()]), _data())


def test_column_that_one_shard_lacks_is_left_out():
    joined = join_router_data([_data({"a": 1}), _data({"b": 2}, with_alone=False)])
    assert joined.response_nll_alone is None
    assert joined.entropies is not None


def test_shards_that_were_read_from_files_join(tmp_path):
    for name in ("a", "b"):
        write_router_data(tmp_path / f"{name}.pt", _data({name: 3}))
    joined = join_router_data([read_router_data(tmp_path / f"{name}.pt") for name in ("b", "a")])
    _assert_equal(joined, join_router_data([_data({"a": 3}), _data({"b": 3})]))


def test_two_shards_with_the_same_sample_are_refused():
    with pytest.raises(DataError, match="two shards of some hold the same sample"):
        join_router_data([_data({"a": 1, "b": 1}), _data({"b": 1})])


@pytest.mark.parametrize("other", [{"dataset": "other"}, {"num_layers": 3}])
def test_shards_of_another_dataset_or_model_are_refused(other):
    with pytest.raises(DataError, match="not of one dataset and one model"):
        join_router_data([_data({"a": 1}), _data({"b": 1}, **other)])

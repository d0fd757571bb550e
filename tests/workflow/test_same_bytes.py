"""One core or two, one shard or five, one clone or another: the same bytes."""

import pytest
from small_run import CONFIG, artifacts, finish, prepare


@pytest.fixture(scope="module")
def on_two_cores(tmp_path_factory):
    return finish(prepare(tmp_path_factory.mktemp("two") / "sluice"))


@pytest.fixture(scope="module")
def on_one_core_in_five_shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one") / "elsewhere"
    config = {**CONFIG, "gate": {**CONFIG["gate"], "num_shards": 5}}
    return finish(prepare(folder, config), cores=1)


def test_cores_shards_and_place_change_no_byte(on_two_cores, on_one_core_in_five_shards):
    first, second = artifacts(on_two_cores), artifacts(on_one_core_in_five_shards)
    assert {"selected_data.jsonl", "sampled/cases/sampled_data.json"} <= set(first)
    assert any(name.endswith("adapter_model.safetensors") for name in first)
    assert {name for name in first if first[name] != second.get(name)} == set()
    assert set(first) == set(second)

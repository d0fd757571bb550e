"""Whole runs: folders and files in, files out, and nothing half-done in between."""

import json
import pickle
import shutil

import pytest
import torch
from gate_samples import make_samples, silent_sample
from safetensors.torch import load_file, save_file
from support import MakesFile

import collect_router_data
import merge_router_data
import warm_up_gate
from sluice.cli import run
from sluice.errors import DataError, ModelError
from sluice.gate import batching, collection, runs
from sluice.gate.conversion import load_causal_model
from sluice.gate.modeling import gate_parameters
from sluice.gate.runs import (
    collect_shard,
    load_gated_model,
    read_gate_weights,
    run_warm_up,
    write_gate_weights,
)
from sluice.ledger import read_ledger
from sluice.records import write_samples
from sluice.router_data import join_router_data, read_router_data, write_router_data
from sluice.settings.gate import CollectRouterData, WarmUpGate

WARM_UP = WarmUpGate(
    device="cpu", warm_up_steps=3, warm_up_batch_size=2, warm_up_fraction=1.0, max_tokens=128
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "train.jsonl"
    write_samples(path, make_samples(9))
    return path


@pytest.fixture
def collect(gated_folder, samples, tmp_path):
    def run(shard=(0, 1), *, gate_weights=None, model=gated_folder, source=samples, **settings):
        return collect_shard(
            model,
            source,
            dataset="some",
            shard=shard,
            gate_weights=gate_weights,
            settings=CollectRouterData(device="cpu", **settings),
            output=tmp_path / "some.pt",
            ledger_path=tmp_path / "some.ledger.json",
            state_root=tmp_path / "state",
        )

    return run


def _warm_up(folder, samples, root, settings=WARM_UP):
    return run_warm_up(
        folder,
        [samples],
        settings=settings,
        output=root / "gates.pt",
        training_log=root / "log.json",
        state_root=root / "state",
    )


# Loading


def test_gated_model_is_loaded_in_float32_on_a_cpu_and_does_not_train(gated):
    assert {parameter.dtype for parameter in gated.parameters()} == {torch.float32}
    assert not gated.training


def test_plain_model_is_refused_with_the_way_to_convert_it(source):
    with pytest.raises(ModelError, match="has no gates") as caught:
        load_gated_model(source, gate_weights=None, device="cpu")
    assert "convert_checkpoint.py" in str(caught.value)


def test_trained_gates_take_the_place_of_the_folders_own(gated_folder, tmp_path):
    names = gate_parameters(load_causal_model(str(gated_folder)))
    weights = {name: torch.full((64,), float(place)) for place, name in enumerate(names)}
    write_gate_weights(tmp_path / "gates.pt", weights)
    model = load_gated_model(gated_folder, gate_weights=tmp_path / "gates.pt", device="cpu")
    for name, weight in gate_parameters(model).items():
        assert torch.equal(weight, weights[name])


# Gate weights files


def test_gate_weights_come_back_and_their_bytes_do_not_depend_on_the_path(tmp_path):
    weights = {"a": torch.arange(3.0), "b": torch.zeros(2)}
    write_gate_weights(tmp_path / "one.pt", weights)
    write_gate_weights(tmp_path / "folder/two.pt", weights)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "folder/two.pt").read_bytes()
    found = read_gate_weights(tmp_path / "one.pt")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_code_in_a_gate_weights_file_is_refused_and_not_run(tmp_path):
    torch.save({"a": MakesFile(tmp_path / "ran")}, tmp_path / "gates.pt")
    with pytest.raises(ModelError, match="not a gate weights file"):
        read_gate_weights(tmp_path / "gates.pt")
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(MakesFile(tmp_path / "ran")))  # the attack itself would work
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a tensor file"])
def test_other_files_are_no_gate_weights(tmp_path, content):
    (tmp_path / "gates.pt").write_bytes(content)
    with pytest.raises(ModelError, match="not a gate weights file"):
        read_gate_weights(tmp_path / "gates.pt")


@pytest.mark.parametrize("value", [torch.zeros(3), [torch.zeros(3)], {"a": 1.0}, {"losses": []}])
def test_tensor_files_of_another_kind_are_no_gate_weights(tmp_path, value):
    torch.save(value, tmp_path / "gates.pt")
    with pytest.raises(ModelError, match="not a gate weights file"):
        read_gate_weights(tmp_path / "gates.pt")


def test_missing_gate_weights_are_a_model_error(tmp_path):
    with pytest.raises(ModelError, match=r"gates\.pt"):
        read_gate_weights(tmp_path / "gates.pt")


# Shards


@pytest.mark.parametrize("num_shards", [2, 3, 5])
def test_shards_take_blocks_in_turn_and_join_to_the_bytes_of_the_whole(
    collect, tmp_path, monkeypatch, num_shards
):
    monkeypatch.setattr(batching, "_SAMPLES_PER_BLOCK", 2)
    whole = collect()
    shards = [collect((part, num_shards)) for part in range(num_shards)]
    assert shards[1].sample_ids[:2] == ["some_02", "some_03"]
    assert [len(shard.sample_ids) for shard in shards] == {
        2: [5, 4], 3: [4, 3, 2], 5: [2, 2, 2, 2, 1],
    }[num_shards]  # fmt: skip
    write_router_data(tmp_path / "joined.pt", join_router_data(shards))
    write_router_data(tmp_path / "whole.pt", whole)
    assert (tmp_path / "joined.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()


def test_a_sample_without_a_response_leaves_the_others_in_their_blocks(
    collect, tmp_path, monkeypatch
):
    monkeypatch.setattr(batching, "_SAMPLES_PER_BLOCK", 2)
    samples = make_samples(8)
    samples[2] = silent_sample(2)
    write_samples(tmp_path / "in.jsonl", samples)
    options = {"source": tmp_path / "in.jsonl", "on_empty_response": "drop"}
    parts = [collect((part, 2), **options) for part in range(2)]
    assert parts[0].sample_ids == ["some_00", "some_01", "some_04", "some_05"]
    assert parts[1].sample_ids == ["some_03", "some_06", "some_07"]


def test_ledger_and_rejected_samples_of_a_shard_are_written(collect, tmp_path):
    write_samples(tmp_path / "in.jsonl", [*make_samples(4), silent_sample(90)])
    collect(source=tmp_path / "in.jsonl", on_empty_response="drop")
    ledger = read_ledger(tmp_path / "some.ledger.json")
    assert (ledger["rows_in"], ledger["rejected"]) == (5, {"no_response_token": 1})
    lines = (tmp_path / "some.rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["where"] for line in lines] == ["some_90"]


def test_gates_of_a_file_change_gate_logits_and_nothing_else(collect, gated_folder, tmp_path):
    names = gate_parameters(load_causal_model(str(gated_folder)))
    write_gate_weights(tmp_path / "gates.pt", {name: torch.zeros(64) for name in names})
    own, zero = collect(), collect(gate_weights=tmp_path / "gates.pt")
    assert own.quality_gates.any()
    assert not zero.quality_gates.any()
    assert torch.equal(own.perplexities, zero.perplexities)


@pytest.mark.parametrize("argument", ["source", "model", "gate_weights"])
def test_missing_input_is_an_error_that_names_it(collect, tmp_path, argument):
    with pytest.raises(DataError, match=r"nothing\.x does not exist"):
        collect(**{argument: tmp_path / "nothing.x"})


# Progress


class _KilledError(Exception):
    pass


@pytest.fixture
def killed(collect, monkeypatch, tmp_path):
    """A run that was killed in its fourth batch; the statistics that it calls are counted."""
    whole = collection.token_statistics
    calls = []

    def killed_in_the_fourth(model, token_ids):
        calls.append(len(token_ids))
        if len(calls) == 4:
            raise _KilledError
        return whole(model, token_ids)

    monkeypatch.setattr(collection, "_SAVE_EVERY_S", -1.0)
    monkeypatch.setattr(collection, "token_statistics", killed_in_the_fourth)
    with pytest.raises(_KilledError):
        collect(tokens_per_batch=300)
    assert not (tmp_path / "some.ledger.json").exists()
    return calls


def test_a_killed_shard_goes_on_to_the_same_bytes_and_its_progress_is_forgotten(
    killed, collect, tmp_path
):
    write_router_data(tmp_path / "resumed.pt", collect(tokens_per_batch=300))
    num_resumed = len(killed) - 4
    assert not list((tmp_path / "state").iterdir())
    write_router_data(tmp_path / "whole.pt", collect(tokens_per_batch=300))
    num_whole = len(killed) - 4 - num_resumed
    assert num_resumed == num_whole - 3
    assert (tmp_path / "resumed.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()


@pytest.mark.parametrize("change", ["settings", "shard", "gates"])
def test_progress_of_another_run_is_not_used(killed, collect, gated_folder, tmp_path, change):
    names = gate_parameters(load_causal_model(str(gated_folder)))
    write_gate_weights(tmp_path / "gates.pt", {name: torch.zeros(64) for name in names})
    changes = {
        "settings": {"tokens_per_batch": 64},
        "shard": {"shard": (0, 2)},
        "gates": {"gate_weights": tmp_path / "gates.pt"},
    }[change]
    options = {"tokens_per_batch": 300, **changes}
    data = collect(**options)
    write_router_data(tmp_path / "beside_progress.pt", data)
    shutil.rmtree(tmp_path / "state")
    write_router_data(tmp_path / "without.pt", collect(**options))
    assert (tmp_path / "beside_progress.pt").read_bytes() == (tmp_path / "without.pt").read_bytes()


def test_progress_of_a_finished_warm_up_is_forgotten(gated_folder, samples, tmp_path):
    weights, losses = _warm_up(gated_folder, samples, tmp_path)
    assert len(weights) == 2
    assert len(losses) == 3
    assert list((tmp_path / "state").iterdir()) == []


def test_warm_up_takes_all_sample_files_together_in_any_order(gated_folder, tmp_path):
    write_samples(tmp_path / "a.jsonl", make_samples(4))
    write_samples(tmp_path / "b.jsonl", [s for s in make_samples(9) if s.id >= "some_04"])
    found = [
        run_warm_up(
            gated_folder,
            [tmp_path / name for name in names],
            settings=WARM_UP,
            output=tmp_path / "gates.pt",
            training_log=tmp_path / "log.json",
            state_root=tmp_path / "state",
        )
        for names in (("a.jsonl", "b.jsonl"), ("b.jsonl", "a.jsonl"))
    ]
    assert found[0][1] == found[1][1]
    assert all(torch.equal(found[0][0][name], found[1][0][name]) for name in found[0][0])


def test_records_that_cannot_be_written_do_not_lose_the_pass(collect, tmp_path, monkeypatch):
    monkeypatch.setattr(collection, "_SAVE_EVERY_S", 0.0)

    def fail(path, data):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(runs, "write_router_data", fail)
        with pytest.raises(OSError, match="no space"):
            collect()
    assert list((tmp_path / "state").glob("*/*.pt"))


def test_gated_folder_without_its_gates_is_refused(gated_folder, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(gated_folder, folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "quality_gate" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks 2 of the model's weights"):
        load_gated_model(folder, gate_weights=None, device="cpu")


# The scripts


def test_scripts_go_from_samples_to_router_data(gated_folder, samples, collect, tmp_path):
    gates, log = tmp_path / "gates.pt", tmp_path / "log.json"
    state = ["--device", "cpu", "--state-dir", str(tmp_path / "state")]
    model = ["--model", str(gated_folder), "--samples", str(samples), *state]
    steps = ["--warm-up-steps", "3", "--warm-up-batch-size", "2", "--warm-up-fraction", "1"]
    words = [*model, *steps, "--max-tokens", "128", "--output", str(gates)]
    run(warm_up_gate.Arguments, warm_up_gate.main, [*words, "--training-log", str(log)])
    expected, losses = _warm_up(gated_folder, samples, tmp_path / "other")
    assert json.loads(log.read_text()) == {"losses": losses}
    found = read_gate_weights(gates)
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())

    shards = []
    for part in ("0", "1"):
        shards.append(str(tmp_path / f"{part}.pt"))
        words = [*model, "--dataset", "some", "--gate-weights", str(gates), "--output", shards[-1]]
        words += ["--ledger", str(tmp_path / f"{part}.json"), "--shard", part, "--num-shards", "2"]
        run(collect_router_data.Arguments, collect_router_data.main, words)
    words = ["--shards", *shards, "--output", str(tmp_path / "all.pt")]
    run(merge_router_data.Arguments, merge_router_data.main, words)
    words = ["--shards", str(tmp_path / "all.pt"), "--output", str(tmp_path / "again.pt")]
    run(merge_router_data.Arguments, merge_router_data.main, words)
    assert (tmp_path / "again.pt").read_bytes() == (tmp_path / "all.pt").read_bytes()
    merged = read_router_data(tmp_path / "all.pt")
    whole = collect(gate_weights=gates)
    assert merged.sample_ids == whole.sample_ids
    assert torch.allclose(merged.perplexities.log(), whole.perplexities.log(), atol=1e-4)


def test_rejected_samples_are_kept_whatever_the_ledgers_name(gated_folder, tmp_path):
    write_samples(tmp_path / "in.jsonl", [*make_samples(3), silent_sample(90)])
    for name, rejected in (("counts.json", "counts"), ("x.ledger.json", "x"), ("plain", "plain")):
        words = ["--model", str(gated_folder), "--samples", str(tmp_path / "in.jsonl")]
        words += ["--dataset", "some", "--output", str(tmp_path / "o.pt"), "--device", "cpu"]
        words += ["--ledger", str(tmp_path / name), "--state-dir", str(tmp_path / "state")]
        words += ["--on-empty-response", "drop"]
        run(collect_router_data.Arguments, collect_router_data.main, words)
        assert read_ledger(tmp_path / name)["rejected"] == {"no_response_token": 1}
        (line,) = (tmp_path / f"{rejected}.rejected.jsonl").read_text().splitlines()
        assert json.loads(line)["where"] == "some_90"

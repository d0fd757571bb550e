"""A converted checkpoint is the source, bit for bit, with gates beside it."""

import json
import subprocess
import sys

import pytest
import torch
import tyro
from safetensors.torch import load_file, save_file
from support import ROOT
from tiny_models import GATED_FAMILIES, byte_tokenizer, write_tiny_checkpoint
from transformers import AutoConfig, AutoModelForCausalLM

from convert_checkpoint import Arguments, main
from sluice.chat import load_tokenizer
from sluice.cli import run
from sluice.errors import ModelError
from sluice.gate.conversion import convert_checkpoint, probe_tokens
from sluice.settings.gate import GateShape

# Other tokens than the conversion's own probe.
TOKENS_BT = torch.randint(0, 262, (3, 40), generator=torch.Generator().manual_seed(99))


def _convert(source, target, *, seed=1, dtype="auto", **shape):
    return convert_checkpoint(str(source), target, shape=GateShape(**shape), seed=seed, dtype=dtype)


def _logits(folder, dtype="auto"):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    with torch.no_grad():
        return model(input_ids=TOKENS_BT).logits


def _weights(folder):
    return load_file(folder / "model.safetensors")


def _gates(folder):
    return {name: value for name, value in _weights(folder).items() if "quality_gate" in name}


@pytest.mark.parametrize("is_tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", GATED_FAMILIES)
def test_converted_model_has_the_logits_and_weights_of_its_source(family, dtype, is_tied, tmp_path):
    source = write_tiny_checkpoint(tmp_path / "source", family, dtype=dtype, is_tied=is_tied)
    folder = _convert(source, tmp_path / "gated")
    expected_BTV = _logits(source)
    assert expected_BTV.dtype == getattr(torch, dtype)
    assert torch.equal(_logits(folder), expected_BTV)
    before, after = _weights(source), _weights(folder)
    assert set(after) - set(before) == set(_gates(folder))
    assert len(_gates(folder)) == 2
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert {value.dtype for value in after.values()} == {getattr(torch, dtype)}
    assert ("lm_head.weight" in after) is not is_tied


@pytest.mark.parametrize("is_tied", [False, True], ids=["untied", "tied"])
def test_sharded_source_gives_the_same_model(is_tied, tmp_path):
    whole = write_tiny_checkpoint(tmp_path / "whole", is_tied=is_tied)
    shards = write_tiny_checkpoint(tmp_path / "shards", is_tied=is_tied, max_shard_size="50KB")
    assert len(list(shards.glob("model-*-of-*.safetensors"))) > 3
    folder = _convert(shards, tmp_path / "gated")
    assert torch.equal(_logits(folder), _logits(whole))
    assert _weights(folder).keys() == _weights(_convert(whole, tmp_path / "gated_whole")).keys()


def test_weights_are_rounded_where_bfloat16_is_asked_for(source, tmp_path):
    folder = _convert(source, tmp_path / "gated", dtype="bfloat16")
    assert {value.dtype for value in _weights(folder).values()} == {torch.bfloat16}
    assert torch.equal(_logits(folder), _logits(source, dtype="bfloat16"))


def test_source_folder_is_left_as_it_was(tmp_path):
    source = write_tiny_checkpoint(tmp_path / "source")
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    _convert(source, tmp_path / "gated")
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


def test_tokenizer_comes_along(source, gated_folder):
    messages = [{"role": "user", "content": "Wie? 几个?"}, {"role": "assistant", "content": "7"}]
    tokens = [
        load_tokenizer(folder).apply_chat_template(messages, return_dict=True)["input_ids"]
        for folder in (source, gated_folder)
    ]
    assert tokens[0] == tokens[1]


def test_config_keeps_the_sources_values_and_records_the_choices(source, tmp_path):
    choices = {
        "quality_gate_init_mean": 0.25,
        "quality_gate_init_std": 0.5,
        "quality_loss_weight": 2.0,
        "quality_loss_type": "linear",
    }
    folder = _convert(source, tmp_path / "gated", **choices)
    before = json.loads((source / "config.json").read_text())
    after = json.loads((folder / "config.json").read_text())
    added = {**choices, "quality_gate_source": str(source)}
    renamed = {
        "model_type": "quality_gate_qwen3",
        "architectures": ["QualityGateQwen3ForCausalLM"],
    }
    assert after == {**before, **added, **renamed}
    assert AutoConfig.from_pretrained(folder).quality_loss_type == "linear"


def test_gates_depend_on_the_seed_alone(source, tmp_path):
    torch.manual_seed(1)
    first = _convert(source, tmp_path / "first", seed=1)
    torch.manual_seed(2)
    again = _convert(source, tmp_path / "again", seed=1)
    other = _convert(source, tmp_path / "other", seed=2)
    assert (first / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    assert not any(torch.equal(_gates(other)[name], value) for name, value in _gates(first).items())


def test_gates_have_the_mean_and_spread_asked_for(source, tmp_path):
    folder = _convert(
        source, tmp_path / "g", quality_gate_init_mean=3.0, quality_gate_init_std=0.01
    )
    weights = torch.cat(list(_gates(folder).values()))
    # 128 draws: the mean is within 4 standard errors, 0.01 / 11.3 each.
    assert weights.mean().item() == pytest.approx(3.0, abs=0.0036)
    assert weights.std().item() == pytest.approx(0.01, rel=0.3)


def test_spread_of_zero_gives_equal_gates(source, tmp_path):
    folder = _convert(source, tmp_path / "g", quality_gate_init_mean=0.5, quality_gate_init_std=0.0)
    assert all((value == 0.5).all() for value in _gates(folder).values())


def test_older_folder_of_that_name_is_replaced_whole(source, tmp_path):
    (tmp_path / "gated").mkdir()
    (tmp_path / "gated/left_over.txt").write_text("old")
    folder = _convert(source, tmp_path / "gated")
    assert not (folder / "left_over.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["gated"]


def test_path_that_comes_back_is_absolute(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    assert _convert(source, "a/../gated") == tmp_path.resolve() / "gated"


def test_probe_has_tokens_of_the_whole_vocabulary_and_depends_on_the_seed():
    tokens_BT = probe_tokens(1000, seed=1)
    assert tokens_BT.shape == (2, 24)
    assert 0 <= tokens_BT.min() < 200
    assert 800 < tokens_BT.max() < 1000
    assert torch.equal(tokens_BT, probe_tokens(1000, seed=1))
    assert not torch.equal(tokens_BT, probe_tokens(1000, seed=2))


# What cannot be converted


@pytest.fixture
def spoiled(tmp_path):
    return write_tiny_checkpoint(tmp_path / "spoiled")


def _refused(source, tmp_path, match):
    with pytest.raises(ModelError, match=match) as caught:
        _convert(source, tmp_path / "gated")
    assert not (tmp_path / "gated").exists()
    return str(caught.value)


def test_other_families_are_refused_with_those_that_work(tmp_path):
    config = AutoConfig.for_model("gpt2", vocab_size=262, n_embd=8, n_layer=1, n_head=1)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "gpt2")
    byte_tokenizer().save_pretrained(tmp_path / "gpt2")
    text = _refused(tmp_path / "gpt2", tmp_path, "'gpt2' cannot be given gates")
    assert "qwen3, qwen2, llama, mistral" in text


def test_converted_model_is_not_converted_again(gated_folder, tmp_path):
    _refused(gated_folder, tmp_path, "'quality_gate_qwen3' cannot be given gates")


def test_missing_folder_is_a_model_error(tmp_path):
    text = _refused(tmp_path / "nothing", tmp_path, "no model could be loaded from")
    assert str(tmp_path / "nothing") in text


def test_folder_without_weights_is_a_model_error(spoiled, tmp_path):
    (spoiled / "model.safetensors").unlink()
    _refused(spoiled, tmp_path, "no model could be loaded from")


def test_folder_with_cut_off_weights_is_a_model_error(spoiled, tmp_path):
    file = spoiled / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    _refused(spoiled, tmp_path, "no model could be loaded from")


def test_folder_with_weights_of_another_size_is_a_model_error(spoiled, tmp_path):
    config = json.loads((spoiled / "config.json").read_text())
    config["intermediate_size"] = 80
    (spoiled / "config.json").write_text(json.dumps(config))
    _refused(spoiled, tmp_path, "no model could be loaded from")


def test_folder_with_a_damaged_config_is_a_model_error(spoiled, tmp_path):
    (spoiled / "config.json").write_text("{")
    _refused(spoiled, tmp_path, "no model could be loaded from")


def test_folder_that_lacks_a_weight_is_a_model_error(spoiled, tmp_path):
    # transformers draws a lacking weight at random, so no two loads agree.
    weights = _weights(spoiled)
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, spoiled / "model.safetensors", metadata={"format": "pt"})
    _refused(spoiled, tmp_path, "lacks 1 of the model's weights")


def test_folder_without_a_tokenizer_is_a_model_error(spoiled, tmp_path):
    for path in [*spoiled.glob("token*"), *spoiled.glob("*.jinja")]:
        path.unlink()
    _refused(spoiled, tmp_path, "no tokenizer could be loaded|no chat template")


def test_failed_conversion_leaves_the_older_folder(spoiled, tmp_path):
    folder = _convert(spoiled, tmp_path / "gated")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (spoiled / "model.safetensors").unlink()
    with pytest.raises(ModelError):
        _convert(spoiled, tmp_path / "gated")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# The script


def test_flags_and_their_defaults_are_the_documented_ones():
    flags = tyro.cli(Arguments, args=["--save-path", "x"]).model_dump(mode="json")
    assert flags == {
        "model": "Qwen/Qwen3-1.7B",
        "save_path": "x",
        "device": "cpu",
        "quality_gate_init_mean": 0.0,
        "quality_gate_init_std": 0.02,
        "quality_loss_weight": 1.0,
        "quality_loss_type": "sigmoid",
        "seed": 42,
        "revision": None,
        "dtype": "auto",
    }


def test_every_flag_is_written_with_dashes():
    words = "--model m --save-path x --device cuda:1 --quality-gate-init-mean 1 "
    words += "--quality-gate-init-std 2 --quality-loss-weight 3 --quality-loss-type linear --seed 4"
    arguments = tyro.cli(Arguments, args=words.split())
    assert (arguments.model, arguments.device, arguments.seed) == ("m", "cuda:1", 4)
    assert (arguments.quality_gate_init_mean, arguments.quality_gate_init_std) == (1.0, 2.0)
    assert (arguments.quality_loss_weight, arguments.quality_loss_type) == (3.0, "linear")


def test_script_prints_the_absolute_path_and_nothing_else(source, tmp_path):
    script = ROOT / "workflow_scripts/convert_checkpoint.py"
    command = [sys.executable, script, "--model", source, "--save-path", "gated"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path.resolve() / 'gated'}\n"
    assert torch.equal(_logits(tmp_path / "gated"), _logits(source))


def test_script_says_why_a_model_cannot_be_converted_and_exits_with_one(tmp_path, capsys):
    flags = ["--model", str(tmp_path / "nothing"), "--save-path", str(tmp_path / "gated")]
    with pytest.raises(SystemExit) as caught:
        run(Arguments, main, flags)
    printed = capsys.readouterr()
    assert caught.value.code == 1
    assert printed.out == ""
    assert f"ModelError: no model could be loaded from '{tmp_path / 'nothing'}'" in printed.err
    assert "Traceback" not in printed.err
    assert list(tmp_path.iterdir()) == []

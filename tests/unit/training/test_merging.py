"""A merged model is base and adapter, in the base's precision; one that is not is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from samples_for_training import checkpoint, mixed_samples, tune
from support import ROOT
from transformers import AutoModelForCausalLM

from sluice.errors import ConfigError, ModelError
from sluice.files import hash_file
from sluice.training.adapters import BaseModel
from sluice.training.merging import merge_adapter

SETTINGS = {"max_steps": 12, "learning_rate": 3e-2}


def logits(model):
    ids = torch.arange(40)[None] * 5 % 250
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits.float()


def test_merged_model_is_base_and_adapter(tmp_path):
    base = checkpoint(tmp_path)
    outputs = tune(tmp_path, base, mixed_samples(8), **SETTINGS)
    found = merge_adapter(outputs.model, tmp_path / "merged")
    plain = AutoModelForCausalLM.from_pretrained(base.path)
    before = logits(plain)
    apart = logits(PeftModel.from_pretrained(plain, outputs.model))
    merged = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"))
    torch.testing.assert_close(merged, apart, rtol=1e-4, atol=1e-4)
    assert (apart - before).abs().max() > 0.1
    assert found["kl_nats"] <= 1e-6 < found["adapter_kl_nats"]
    assert json.loads((tmp_path / "merged/merge.json").read_text())["base"] == base.path
    assert not (tmp_path / "merged/adapter_config.json").exists()


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_merged_weights_have_the_precision_of_the_base(tmp_path, method):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    base = checkpoint(tmp_path, dtype="bfloat16")
    outputs = tune(tmp_path, base, mixed_samples(8), method=method, **SETTINGS)
    found = merge_adapter(outputs.model, tmp_path / "merged")
    weights = load_file(tmp_path / "merged/model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert found["kl_nats"] < 1e-2 < found["adapter_kl_nats"]


def test_merge_that_went_wrong_is_refused(tmp_path, monkeypatch):
    """What is written is compared, so weights that were spoilt on the way are found."""
    base = checkpoint(tmp_path)
    outputs = tune(tmp_path, base, mixed_samples(8), **SETTINGS)
    from peft.tuners.lora.layer import Linear

    plain = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, name: 0.9 * plain(self, name))
    with pytest.raises(ModelError, match="the merged model differs from base and adapter by"):
        merge_adapter(outputs.model, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_base_can_be_named_where_it_has_moved(tmp_path):
    base = checkpoint(tmp_path)
    outputs = tune(tmp_path, base, mixed_samples(8), max_steps=1)
    shutil.move(base.path, tmp_path / "moved")
    with pytest.raises(ModelError, match="no model could be loaded"):
        merge_adapter(outputs.model, tmp_path / "merged")
    merge_adapter(outputs.model, tmp_path / "merged", base=BaseModel(str(tmp_path / "moved")))
    assert (tmp_path / "merged/model.safetensors").is_file()


OWN_CODE = """
from transformers import Qwen3Config, Qwen3ForCausalLM


class OwnConfig(Qwen3Config):
    model_type = "own"


class OwnModel(Qwen3ForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture(scope="module")
def with_code(tmp_path_factory):
    """An adapter of a model whose class stands in a file of the model's own folder."""
    folder = tmp_path_factory.mktemp("with_code")
    base = checkpoint(folder)
    config = Path(base.path) / "config.json"
    content = json.loads(config.read_text())
    auto_map = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    content.update(model_type="own", architectures=["OwnModel"], auto_map=auto_map)
    config.write_text(json.dumps(content))
    (Path(base.path) / "own.py").write_text(OWN_CODE)
    with pytest.MonkeyPatch.context() as patch:
        # transformers copies such files; here, and in the processes that the tests start.
        patch.setenv("HF_MODULES_CACHE", str(folder / "modules"))
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder / "modules"))
        trusted = BaseModel(base.path, trust_remote_code=True)
        tune(folder, trusted, mixed_samples(8), max_steps=1)
        yield folder


@pytest.mark.parametrize("is_named", [True, False])
def test_model_with_code_of_its_own_is_merged_with_it(tmp_path, with_code, is_named):
    words = ["--adapter", with_code / "a/final_model", "--output", tmp_path / "merged"]
    words += ["--model", with_code / "base"] if is_named else []
    command = [sys.executable, ROOT / "workflow_scripts/merge_adapter.py", *words]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "ModelError: no model could be loaded" in refused.stderr
    done = subprocess.run([*command, "--trust-remote-code"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "merged/own.py").read_text() == OWN_CODE


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a base and an adapter of it."""
    folder = tmp_path_factory.mktemp("trained")
    tune(folder, checkpoint(folder), mixed_samples(8), max_steps=1)
    return folder


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("base", "the folder of the base"),
        ("base/merged", "the folder of the base"),
        ("a/final_model", "the folder of the adapter"),
        ("a/final_model/merged", "the folder of the adapter"),
        ("a", "the folder of the adapter"),
        ("a/logs", "is no earlier output of this step"),
        ("samples.jsonl", "is no earlier output of this step"),
        ("here", "is or holds the current folder"),
        (".", "is or holds the current folder"),
    ],
)
def test_merge_takes_the_place_of_nothing_else(trained, monkeypatch, output, problem):
    (trained / "here").mkdir(exist_ok=True)
    monkeypatch.chdir(trained / "here")
    before = hash_file(trained)
    place = Path(output) if output == "." else trained / output
    with pytest.raises(ConfigError, match=problem):
        merge_adapter(trained / "a/final_model", place)
    assert hash_file(trained) == before


def test_earlier_merge_and_empty_folder_are_replaced(trained, tmp_path):
    merged = tmp_path / "merged"
    merged.mkdir()
    merge_adapter(trained / "a/final_model", merged)
    (merged / "leftover").touch()
    merge_adapter(trained / "a/final_model", merged)
    assert (merged / "merge.json").is_file()
    assert not (merged / "leftover").exists()


@pytest.mark.parametrize("num_layers", [1, 3])
def test_adapter_of_another_model_is_not_merged(tmp_path, num_layers):
    base = checkpoint(tmp_path)
    outputs = tune(tmp_path, base, mixed_samples(8), max_steps=1)
    other = checkpoint(tmp_path / "other", num_layers=num_layers)
    with pytest.raises(
        ModelError, match=r"14 (of its tensors|tensors that) .* and 12 more"
    ) as caught:
        merge_adapter(outputs.model, tmp_path / "merged", base=other)
    assert caught.value.expected == f"the model that it was trained on: {base.path}"
    assert not (tmp_path / "merged").exists()


def test_adapter_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ModelError, match=r"the folder .*/nothing does not exist"):
        merge_adapter(tmp_path / "nothing", tmp_path / "merged")


def test_whole_model_is_no_adapter(tmp_path):
    checkpoint(tmp_path)
    with pytest.raises(ModelError, match="holds no adapter") as caught:
        merge_adapter(tmp_path / "base", tmp_path / "merged")
    assert caught.value.hint == "it is a whole model already"


def test_tolerance_can_be_set(tmp_path):
    base = checkpoint(tmp_path, dtype="bfloat16")
    outputs = tune(tmp_path, base, mixed_samples(8), **SETTINGS)
    weights = load_file(outputs.model / "adapter_model.safetensors")
    save_file({k: v * 3 for k, v in weights.items()}, outputs.model / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="at most 1e-12 nats"):
        merge_adapter(outputs.model, tmp_path / "merged", tolerance_nats=1e-12)

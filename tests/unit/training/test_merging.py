"""A merged model is base and adapter, in the base's precision; one that is not is refused."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from samples_for_training import checkpoint, mixed_samples, tune
from transformers import AutoModelForCausalLM

from sluice.errors import ModelError
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

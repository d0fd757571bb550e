"""The comparison tells a converted model from one that is merely like it."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import write_tiny_checkpoint

from compare_checkpoint import Arguments, main
from sluice.cli import run
from sluice.errors import ModelError
from sluice.gate.comparison import agreement_of, compare_checkpoint


def _compare(folder, *, base=None, dtype="float32", seed=1):
    base_model = None if base is None else str(base)
    return compare_checkpoint(str(folder), base_model=base_model, dtype=dtype, seed=seed)


def _changed(folder, name, change):
    """Changes one weight of a saved checkpoint."""
    weights = load_file(folder / "model.safetensors")
    change(weights[name])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def copy(gated_folder, tmp_path):
    return shutil.copytree(gated_folder, tmp_path / "copy")


def _halve_one_number(weight):
    weight.view(-1)[0] *= 0.5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_converted_model_is_the_same_as_its_recorded_source(gated_folder, source, dtype):
    assert _compare(gated_folder, dtype=dtype) == {
        "converted_model": str(gated_folder),
        "base_model": str(source),
        "dtype": dtype,
        "is_same": True,
        "gate_shapes": [[2, 24], [2, 24]],
        "num_tokens": 48,
        "max_logit_difference": 0.0,
        "kl_nats": 0.0,
        "top1_agreement": 1.0,
    }


@pytest.mark.parametrize(
    "name",
    [
        "layers.1.mlp.down_proj.weight",
        "norm.weight",
        "layers.0.self_attn.q_norm.weight",
    ],
)
def test_one_changed_number_of_the_backbone_is_found(copy, name):
    _changed(copy, f"model.{name}", _halve_one_number)
    found = _compare(copy)
    assert found["is_same"] is False
    assert found["max_logit_difference"] > 0


def test_changed_gates_leave_the_model_the_same(copy):
    _changed(copy, "model.layers.1.mlp.quality_gate.weight", _halve_one_number)
    assert _compare(copy)["is_same"] is True


def test_another_model_of_the_same_shape_is_not_the_same(gated_folder, tmp_path):
    other = write_tiny_checkpoint(tmp_path / "other", seed=1)
    found = _compare(gated_folder, base=other)
    assert found["base_model"] == str(other)
    assert found["is_same"] is False
    assert found["kl_nats"] > 0.1
    assert found["top1_agreement"] < 0.5


def test_plain_model_is_refused(source):
    for base in (None, source):
        with pytest.raises(ModelError, match="is no converted model") as caught:
            _compare(source, base=base)
        assert "convert_checkpoint" in str(caught.value)


def test_base_with_another_vocabulary_is_refused(gated_folder, tmp_path):
    other = write_tiny_checkpoint(tmp_path / "other", vocab_size=300)
    with pytest.raises(ModelError, match="262 words and 300"):
        _compare(gated_folder, base=other)


def test_missing_models_are_refused(gated_folder, tmp_path):
    with pytest.raises(ModelError, match="no model could be loaded"):
        _compare(tmp_path / "nothing")
    with pytest.raises(ModelError, match="no model could be loaded"):
        _compare(gated_folder, base=tmp_path / "nothing")


def test_agreement_is_worked_out_over_all_tokens():
    # Two tokens, two words. First model: 1/2 1/2 and 3/4 1/4; second: 1/4 3/4 and 3/4 1/4.
    first_BTV = torch.tensor([[[0.0, -1e-9], [math.log(3), 0.0]]])
    second_BTV = torch.tensor([[[0.0, math.log(3)], [math.log(3), 0.0]]])
    found = agreement_of(first_BTV, second_BTV)
    kl_of_first_token = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert found["kl_nats"] == pytest.approx(kl_of_first_token / 2, abs=1e-6)
    assert found["max_logit_difference"] == pytest.approx(math.log(3), abs=1e-6)
    assert found["top1_agreement"] == 0.5


# The script


def _run(folder, output):
    run(Arguments, main, ["--converted-model", str(folder), "--output", str(output)])


def test_script_writes_what_was_found(gated_folder, tmp_path):
    _run(gated_folder, tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["is_same"] is True
    assert found["dtype"] == "float32"


def test_script_exits_with_one_where_the_models_differ(copy, tmp_path, capsys):
    _changed(copy, "lm_head.weight", _halve_one_number)
    with pytest.raises(SystemExit) as caught:
        _run(copy, tmp_path / "found.json")
    assert caught.value.code == 1
    assert json.loads((tmp_path / "found.json").read_text())["is_same"] is False
    printed = capsys.readouterr().err
    assert "is not the model it was converted from" in printed
    assert "Traceback" not in printed

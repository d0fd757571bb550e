"""Folders of models that bring code, or are damaged: nothing runs, one ModelError."""

import json
import pickle

import pytest
import torch
from damage import damaged, is_refused
from support import MakesFile
from tiny_models import byte_tokenizer, write_tiny_checkpoint

from sluice.chat import load_tokenizer
from sluice.errors import ModelError
from sluice.gate.conversion import load_causal_model, load_config


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def copy(checkpoint, tmp_path):
    """A copy of the checkpoint that a test may spoil."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in checkpoint.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def _point_to_code(path, **auto_map):
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "auto_map": auto_map, "model_type": "own"}))


def test_code_of_a_model_is_not_run_and_nobody_is_asked(copy, monkeypatch):
    asked = []
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or "y")
    (copy / "own.py").write_text(f"open({str(copy / 'ran')!r}, 'w')\n")
    _point_to_code(copy / "config.json", AutoConfig="own.C", AutoModelForCausalLM="own.M")
    with pytest.raises(ModelError, match="no model could be loaded"):
        load_config(str(copy))
    with pytest.raises(ModelError, match="no model could be loaded"):
        load_causal_model(str(copy))
    assert not asked
    assert not (copy / "ran").exists()


def test_pickled_weights_with_code_are_not_run(copy):
    (copy / "model.safetensors").unlink()
    attack = {"lm_head.weight": MakesFile(copy / "ran")}
    torch.save(attack, copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no model could be loaded"):
        load_causal_model(str(copy))
    assert not (copy / "ran").exists()
    pickle.loads(pickle.dumps(attack))  # the attack itself would work
    assert (copy / "ran").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "generation_config.json"])
def test_damaged_file_of_a_model_raises_nothing_but_our_errors(copy, name):
    path = copy / name
    data = path.read_bytes()
    for number, (what, content) in enumerate(damaged(data)):
        if number % 4:
            continue
        path.write_bytes(content)
        try:
            is_refused(lambda: load_causal_model(str(copy)))
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
    path.write_bytes(data[: len(data) // 2])
    if name != "generation_config.json":
        assert is_refused(lambda: load_causal_model(str(copy)))


def test_folder_without_a_tokenizer_is_refused(tmp_path):
    byte_tokenizer().save_pretrained(tmp_path)
    for path in tmp_path.glob("*.json"):
        path.write_text("{}")
    with pytest.raises(ModelError, match="no tokenizer could be loaded"):
        load_tokenizer(tmp_path)

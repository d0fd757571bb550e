"""The whole step: what it writes, which weights it keeps, and that a crash changes nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from samples_for_training import (
    QUIET,
    checkpoint,
    encode,
    mixed_samples,
    relative_distance,
    tune,
)
from support import ROOT
from tiny_models import write_tiny_checkpoint
from transformers import AutoModelForCausalLM

from sluice.errors import ConfigError, DeviceError, ModelError, TrainingError
from sluice.records import write_samples
from sluice.settings.training import FineTune
from sluice.training.adapters import BaseModel, load_for_training
from sluice.training.batching import collate
from sluice.training.eval_split import split_for_evaluation
from sluice.training.history import History, latest_checkpoint
from sluice.training.loss import attach_loss
from sluice.training.trainer import WeightedTrainer


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def lora(base, tmp_path_factory):
    """One run with an evaluation every two steps, on 24 samples of two groups."""
    folder = tmp_path_factory.mktemp("lora")
    return tune(
        folder,
        base,
        mixed_samples(24),
        eval_fraction=0.25,
        eval_every=2,
        max_steps=7,
        learning_rate=1e-2,
    )


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_adapter_folder_holds_weights_configuration_and_tokenizer(lora, base):
    assert set(files(lora.model)) == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    config = json.loads((lora.model / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 16, 0.0)
    assert config["base_model_name_or_path"] == base.path
    linear = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert config["target_modules"] == linear


def test_metrics_hold_the_curve(lora):
    metrics = json.loads(lora.metrics.read_text())
    assert (metrics["num_samples"], metrics["num_held_out"], metrics["num_steps"]) == (18, 6, 7)
    assert len(metrics["losses"]) == len(metrics["learning_rates"]) == 7
    assert metrics["learning_rates"][0] == 1e-2 > metrics["learning_rates"][-1] > 0
    assert metrics["eval_steps"] == [2, 4, 6, 7]
    assert metrics["losses"][-1] < metrics["losses"][0]
    best = min(metrics["eval_losses"])
    assert metrics["best_eval_loss"] == best
    assert metrics["best_step"] == metrics["eval_steps"][metrics["eval_losses"].index(best)]


def test_ledger_and_tensorboard_files_are_written(lora):
    ledger = json.loads(lora.ledger.read_text())
    assert (ledger["step"], ledger["rows_in"], ledger["rows_kept"]) == ("fine_tune", 24, 24)
    assert lora.rejected.read_text() == ""
    assert [path.name[:19] for path in lora.logs.iterdir()] == ["events.out.tfevents"]


def test_state_is_gone_once_the_result_is_written(lora):
    assert list((lora.model.parent.parent / "state_a").iterdir()) == []


def test_saved_adapter_has_the_held_out_loss_that_the_metrics_name(tmp_path, base):
    """The kept weights are the best step's, computed again from the files alone."""
    rows = mixed_samples(24)
    # Steps this long make later evaluations worse than the best one.
    outputs = tune(
        tmp_path,
        base,
        rows,
        eval_fraction=0.25,
        eval_every=1,
        max_steps=40,
        learning_rate=0.3,
        patience=1,
    )
    metrics = json.loads(outputs.metrics.read_text())
    assert metrics["best_step"] < metrics["num_steps"]
    model = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, outputs.model)
    held = split_for_evaluation(encode(tmp_path, rows), eval_fraction=0.25, seed=42)[1]
    total = 0.0
    with torch.no_grad():
        for sample in held:
            ids = torch.tensor([sample.input_ids])
            log_p = model(input_ids=ids).logits[0].log_softmax(-1)
            trained = [t for t, u in enumerate(sample.token_weights) if u]
            nll = [-float(log_p[t - 1, sample.input_ids[t]]) for t in trained]
            total += sample.weight * sum(nll) / len(nll)
    expected = total / sum(sample.weight for sample in held)
    assert metrics["best_eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_training_stops_early_when_nothing_gets_better(tmp_path, base):
    outputs = tune(
        tmp_path,
        base,
        mixed_samples(24),
        eval_fraction=0.25,
        eval_every=1,
        max_steps=40,
        learning_rate=0.3,
        patience=3,
    )
    metrics = json.loads(outputs.metrics.read_text())
    assert metrics["num_steps"] == metrics["best_step"] + 3 < 40
    assert metrics["num_planned_steps"] == 40


def test_last_step_is_kept_where_nothing_is_held_out(tmp_path, base):
    outputs = tune(tmp_path, base, mixed_samples(8), max_steps=3)
    metrics = json.loads(outputs.metrics.read_text())
    assert (metrics["best_step"], metrics["eval_losses"]) == (None, [])
    assert (outputs.model / "adapter_model.safetensors").is_file()


def test_full_training_writes_a_whole_model(tmp_path, base):
    outputs = tune(tmp_path, base, mixed_samples(8), method="full", max_steps=3)
    model = AutoModelForCausalLM.from_pretrained(outputs.model)
    start = AutoModelForCausalLM.from_pretrained(base.path)
    moved = [
        name
        for (name, after), before in zip(model.named_parameters(), start.parameters(), strict=True)
        if not torch.equal(after, before)
    ]
    assert len(moved) == len(list(model.parameters()))


class _PowerCut(Exception):
    pass


def _cut_after(monkeypatch, steps):
    """The next run ends without notice once this many steps are done and saved."""
    plain = WeightedTrainer._save_checkpoint

    def save(self, *arguments):
        plain(self, *arguments)
        if self.history.num_steps == steps:
            raise _PowerCut

    monkeypatch.setattr(WeightedTrainer, "_save_checkpoint", save)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_hundred_steps_are_fifty_and_fifty_bit_for_bit(tmp_path, base, monkeypatch, method):
    settings = {
        "method": method,
        "max_steps": 100,
        "dropout": 0.3,
        "eval_fraction": 0.25,
        "eval_every": 25,
        "learning_rate": 1e-3,
        "warmup_steps": 10,
    }
    rows = mixed_samples(20)
    whole = tune(tmp_path, base, rows, name="whole", **settings)
    with monkeypatch.context() as patch:
        _cut_after(patch, 50)
        with pytest.raises(_PowerCut):
            tune(tmp_path, base, rows, name="halves", **settings)
    assert latest_checkpoint(next((tmp_path / "state_halves").iterdir()))[1].num_steps == 50
    halves = tune(tmp_path, base, rows, name="halves", **settings)
    assert files(halves.model) == files(whole.model)
    assert halves.metrics.read_bytes() == whole.metrics.read_bytes()


def test_run_cut_off_after_its_last_step_is_only_written(tmp_path, base, monkeypatch):
    settings = {"max_steps": 4, "eval_fraction": 0.25, "eval_every": 2, "learning_rate": 1e-2}
    rows = mixed_samples(16)
    whole = tune(tmp_path, base, rows, name="whole", **settings)
    with monkeypatch.context() as patch:
        _cut_after(patch, 4)
        with pytest.raises(_PowerCut):
            tune(tmp_path, base, rows, name="late", **settings)
    with monkeypatch.context() as patch:
        patch.setattr(WeightedTrainer, "train", None)  # must not be called
        late = tune(tmp_path, base, rows, name="late", **settings)
    assert files(late.model) == files(whole.model)
    assert late.metrics.read_bytes() == whole.metrics.read_bytes()


def test_checkpoint_that_is_not_whole_is_not_gone_on_from(tmp_path):
    for step, is_whole in ((3, True), (20, True), (100, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if is_whole:
            History(losses=[1.0] * step).save(folder)
    path, history = latest_checkpoint(tmp_path)
    assert (path.name, history.num_steps) == ("checkpoint-20", 20)


def test_early_stop_is_decided_by_the_history_alone():
    history = History(losses=[1.0] * 5, eval_steps=[1, 2, 3, 4], eval_losses=[3, 2, 2, 5])
    assert history.best_step() == 2
    assert not history.is_over(num_steps=9, patience=3)
    assert history.is_over(num_steps=9, patience=2)
    assert history.is_over(num_steps=5, patience=None)


def test_killed_run_goes_on_and_gives_the_same_bytes(tmp_path, base):
    write_samples(tmp_path / "samples.jsonl", mixed_samples(20))
    settings = {"max-steps": 60, "eval-fraction": 0.25, "eval-every": 30, "r": 4}
    words = [f"--{key}={value}" for key, value in settings.items()]

    def start(name, **more):
        command = [sys.executable, str(ROOT / "workflow_scripts/fine_tune.py"), *words]
        command += ["--model", base.path, "--samples", str(tmp_path / "samples.jsonl")]
        command += ["--output", str(tmp_path / name), "--state-dir", str(tmp_path / f"s_{name}")]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **more)

    undisturbed = start("undisturbed")
    assert undisturbed.wait() == 0, undisturbed.stderr.read()
    words += ["--checkpoint-every-s=0"]
    killed = start("killed", start_new_session=True)
    while not list(tmp_path.glob("s_killed/*/checkpoint-*[5-9]/history.json")):
        assert killed.poll() is None, killed.stderr.read()
        time.sleep(0.005)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed/final_model").exists()
    again = start("killed")
    _, told = again.communicate()
    assert again.returncode == 0, told
    assert "going on after step" in told
    for name in ("final_model/adapter_model.safetensors", "metrics.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (
            tmp_path / "undisturbed" / name
        ).read_bytes()


def test_qlora_trains_on_a_four_bit_base(tmp_path, base):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    settings = {"max_steps": 30, "learning_rate": 1e-2}
    rows = mixed_samples(8)
    outputs = tune(tmp_path, base, rows, name="q", method="qlora", **settings)
    plain = tune(tmp_path, base, rows, name="plain", method="qlora", no_4bit=True, **settings)
    metrics = [json.loads(each.metrics.read_text()) for each in (outputs, plain)]
    assert [each["method"] for each in metrics] == ["qlora", "lora"]
    losses, plain_losses = (each["losses"] for each in metrics)
    assert losses[0] != pytest.approx(plain_losses[0], rel=1e-6)  # rounded to 4 bits
    assert losses[0] == pytest.approx(plain_losses[0], rel=0.2)  # but still that model
    assert losses[-1] < 0.8 * losses[0]
    weights = load_file(outputs.model / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_four_bit_gradient_is_that_of_the_rounded_weights_also_after_an_evaluation(tmp_path, base):
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    rows = encode(tmp_path, mixed_samples(4))
    batch = collate(rows, weight_sum=4.0, pad_token_id=0)
    models = {}
    for method in ("qlora", "lora"):
        settings = FineTune(**{**QUIET, "method": method})
        models[method] = load_for_training(base, settings, device=torch.device("cpu"))
    rounded = dict(models["qlora"].named_modules())
    for name, module in models["lora"].named_modules():
        if name.endswith("base_layer"):
            weight = rounded[name].weight
            plain = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
            module.weight.data = plain.reshape(module.weight.shape).float()
    gradients = []
    for model in models.values():
        generator = torch.Generator().manual_seed(1)
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        for weight in trained:
            weight.data.normal_(std=0.05, generator=generator)
        attach_loss(model.get_base_model())
        model.eval()
        with torch.no_grad():
            model(**batch)
        model.train()
        model(**batch)["loss"].backward()
        gradients.append([weight.grad for weight in trained])
    assert relative_distance(*gradients) < 1e-4


def test_base_too_narrow_for_four_bits_is_refused_before_training(tmp_path):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    narrow = BaseModel(str(write_tiny_checkpoint(tmp_path / "narrow")))
    with pytest.raises(TrainingError, match=r"2 layers .* 4 bits: \S+down_proj \(96\)") as caught:
        tune(tmp_path, narrow, mixed_samples(4), method="qlora")
    assert "multiple of 64" in str(caught.value)
    assert "--no_4bit" in str(caught.value)


def test_unknown_layer_names_those_there_are(tmp_path, base):
    with pytest.raises(ConfigError, match="q_projj") as caught:
        tune(tmp_path, base, mixed_samples(4), target_modules=("q_projj",))
    assert "gate_proj" in caught.value.hint


def test_only_the_named_layers_are_trained(tmp_path, base):
    outputs = tune(
        tmp_path, base, mixed_samples(4), target_modules=("q_proj", "v_proj"), max_steps=1
    )
    names = load_file(outputs.model / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in names} == {"q_proj", "v_proj"}


def test_missing_model_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="no tokenizer could be loaded from /no/such/model"):
        tune(tmp_path, BaseModel("/no/such/model"), mixed_samples(4))


@pytest.mark.parametrize("name", ["final_model", "logs"])
def test_folders_of_the_user_are_not_replaced(tmp_path, base, name):
    (tmp_path / "a" / name).mkdir(parents=True)
    (tmp_path / "a" / name / "thesis.txt").touch()
    with pytest.raises(ConfigError, match=f"/a/{name} exists and is no earlier output"):
        tune(tmp_path, base, mixed_samples(4), max_steps=1)
    assert (tmp_path / "a" / name / "thesis.txt").is_file()


def test_earlier_training_is_replaced_but_not_the_model_that_is_learnt_from(tmp_path, base):
    first = tune(tmp_path, base, mixed_samples(4), method="full", max_steps=1)
    (first.model / "leftover").touch()
    again = tune(tmp_path, base, mixed_samples(4), method="full", max_steps=1)
    assert not (again.model / "leftover").exists()
    with pytest.raises(ConfigError, match="lies inside the folder of the model"):
        tune(tmp_path, BaseModel(str(again.model)), mixed_samples(4), max_steps=1)


def test_loss_that_is_no_number_stops_at_once(tmp_path, base):
    with pytest.raises(TrainingError, match=r"the loss of step \d+ is nan"):
        tune(
            tmp_path,
            base,
            mixed_samples(8),
            method="full",
            learning_rate=1e30,
            max_steps=6,
        )


def test_warm_up_longer_than_half_the_training_is_cut(tmp_path, base, caplog):
    outputs = tune(tmp_path, base, mixed_samples(8), max_steps=4, warmup_steps=100)
    rates = json.loads(outputs.metrics.read_text())["learning_rates"]
    assert max(rates) == pytest.approx(2e-4)
    assert "warmup of 100 steps is cut to 2" in caplog.text


def test_defaults_are_those_of_the_weighted_case():
    found = FineTune()
    shown = (found.r, found.alpha, found.dropout, found.num_epochs, found.batch_size)
    assert shown == (64, 16, 0.05, 3, 2)
    shown = (found.accumulation, found.learning_rate, found.schedule, found.warmup_steps)
    assert shown == (8, 2e-4, "cosine", 100)
    shown = (found.weight_decay, found.max_length, found.target_modules, found.focus_weight)
    assert shown == (0.01, 4096, ("all-linear",), 2.0)
    assert QUIET["dropout"] == 0


@pytest.mark.parametrize("is_at_the_least", [False, True])
def test_too_little_memory_is_an_error_that_says_what_to_lower(
    base, tmp_path, monkeypatch, is_at_the_least
):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    monkeypatch.setattr("transformers.Qwen3Model.forward", full)
    sizes = {"batch_size": 1, "accumulation": 8} if is_at_the_least else {"batch_size": 4}
    with pytest.raises(DeviceError) as caught:
        tune(tmp_path, base, mixed_samples(8), **sizes)
    longest = max(len(each.input_ids) for each in encode(tmp_path, mixed_samples(8)))
    needed = f"passes of batch_size {sizes['batch_size']} x up to {longest} tokens"
    assert needed in caught.value.what
    assert "Tried to allocate 2.00 GiB" in caught.value.what
    same_steps = "batch_size 1 with accumulation 8 takes the same steps"
    assert (same_steps in caught.value.hint) is not is_at_the_least
    assert "gradient_checkpointing" in caught.value.hint

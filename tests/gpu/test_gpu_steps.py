"""What only a GPU can show, on tiny random models; skipped where torch can use none."""

import json
import logging
import os
import random
import subprocess
import sys

import pytest
import torch
from support import ROOT
from tiny_models import write_tiny_checkpoint

from sluice.chat import load_tokenizer
from sluice.engines.building import make_engine
from sluice.engines.engine import Request, Sampling
from sluice.gate.collection import collect_router_data
from sluice.gate.conversion import convert_checkpoint, load_causal_model
from sluice.ledger import Ledger
from sluice.records import Message, Sample, write_samples
from sluice.router_data import read_router_data
from sluice.settings.engine import EngineSettings
from sluice.settings.gate import CollectRouterData, GateShape

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch can use no GPU")

WORDS = ("river", "stone", "bird", "runs", "sings", "under", "old", "and", "cold", "the")


def make_samples(count, *, longest=30):
    draw = random.Random(7)

    def words():
        return " ".join(draw.choices(WORDS, k=draw.randint(1, longest)))

    return [
        Sample(
            messages=(
                Message(role="user", content=words()),
                Message(role="assistant", content=words()),
            ),
            dataset="gpu",
            id=f"gpu_{number}",
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("source") / "tiny", intermediate_size=128)


@pytest.fixture(scope="module")
def gated(checkpoint, tmp_path_factory):
    target = tmp_path_factory.mktemp("gated") / "tiny"
    return convert_checkpoint(str(checkpoint), target, shape=GateShape(), seed=42, device="cuda")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "samples.jsonl"
    write_samples(path, make_samples(64))
    return path


def run(script, *words):
    """A script with a GPU of its own; returns what it logged."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "workflow_scripts" / script), *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


def collect(gated, folder, samples, *, device, tokens_per_batch=8192):
    folder.mkdir(parents=True, exist_ok=True)
    model = load_causal_model(str(gated), dtype="float32").to(device).eval()
    with Ledger("collect_router_data", "gpu", path=folder / "ledger.json") as ledger:
        return collect_router_data(
            model,
            load_tokenizer(gated),
            samples,
            dataset="gpu",
            settings=CollectRouterData(tokens_per_batch=tokens_per_batch),
            ledger=ledger,
            state=folder,
        )


def assert_close(found, expected, *, rtol, atol):
    assert found.sample_ids == expected.sample_ids
    torch.testing.assert_close(found.perplexities, expected.perplexities, rtol=rtol, atol=0.0)
    # Stored in half precision.
    for name in ("quality_gates", "entropies"):
        torch.testing.assert_close(
            getattr(found, name).float(), getattr(expected, name).float(), rtol=rtol, atol=atol
        )


def test_gpu_says_of_every_token_what_the_cpu_says(gated, tmp_path):
    samples = make_samples(48)
    found = collect(gated, tmp_path / "gpu", samples, device="cuda")
    expected = collect(gated, tmp_path / "cpu", samples, device="cpu")
    assert_close(found, expected, rtol=1e-3, atol=2e-3)


def test_batch_size_does_not_change_a_score_in_float32(gated, tmp_path):
    samples = make_samples(48)
    found = collect(gated, tmp_path / "small", samples, device="cuda", tokens_per_batch=64)
    expected = collect(gated, tmp_path / "large", samples, device="cuda")
    assert_close(found, expected, rtol=1e-4, atol=2e-3)


def test_step_with_a_gpu_of_its_own_scores_in_bfloat16(gated, rows, tmp_path):
    words = ["--model", gated, "--samples", rows, "--dataset=gpu", "--num-gpus=1"]
    words += ["--output", tmp_path / "out.pt", "--ledger", tmp_path / "ledger.json"]
    logged = run("collect_router_data.py", *words, "--state-dir", tmp_path / "state")
    assert "on GPU 0" in logged
    found = read_router_data(tmp_path / "out.pt").perplexities.log()
    expected = collect(gated, tmp_path / "cpu", make_samples(64), device="cpu").perplexities.log()
    assert float((found - expected).abs().mean()) < 0.05  # of about 6 nats: bfloat16's rounding


def test_batch_that_memory_does_not_hold_is_halved_with_the_same_scores(gated, tmp_path, caplog):
    samples = make_samples(800, longest=100)
    expected = collect(gated, tmp_path / "fits", samples, device="cuda")
    free_bytes, total_bytes = torch.cuda.mem_get_info()
    assert free_bytes > 1 << 30
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((300 << 20) / total_bytes)
    try:
        with caplog.at_level(logging.WARNING, logger="sluice"):
            tight = {"device": "cuda", "tokens_per_batch": 1 << 22}
            found = collect(gated, tmp_path / "tight", samples, **tight)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of GPU memory with" in caplog.text
    assert_close(found, expected, rtol=1e-4, atol=2e-3)


TRAINING = ["--max-steps=12", "--batch-size=4", "--accumulation=2", "--learning-rate=3e-3"]
TRAINING += ["--eval-fraction=0", "--warmup-steps=0", "--dropout=0", "--log-every=1"]


def losses(checkpoint, rows, target, *words, device_words=("--num-gpus=1",)):
    target.mkdir(parents=True, exist_ok=True)
    run(
        "fine_tune.py",
        *("--model", checkpoint, "--samples", rows, "--output", target / "out"),
        *("--state-dir", target / "state", *TRAINING, *words, *device_words),
    )
    assert any((target / "out/final_model").glob("*.safetensors"))
    return json.loads((target / "out/metrics.json").read_text())["losses"]


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_every_method_learns_in_bfloat16(checkpoint, rows, tmp_path, method):
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    found = losses(checkpoint, rows, tmp_path, f"--method={method}")
    assert len(found) == 12
    assert found[-1] < 0.9 * found[0]


def test_training_in_float32_is_that_of_the_cpu(checkpoint, rows, tmp_path):
    words = ["--method=full", "--precision=float32"]
    found = losses(checkpoint, rows, tmp_path / "gpu", *words)
    expected = losses(checkpoint, rows, tmp_path / "cpu", *words, device_words=("--num-gpus=0",))
    assert found[:4] == pytest.approx(expected[:4], rel=1e-4)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="FSDP shares weights out over two GPUs")
def test_fsdp_trains_as_one_process_does(checkpoint, rows, tmp_path):
    words = ["--method=full", "--precision=float32"]
    alone = losses(checkpoint, rows, tmp_path / "alone", *words)
    both = ("--num-gpus=2", "--launcher=fsdp", "--num-processes=2", "--accumulation=1")
    found = losses(checkpoint, rows, tmp_path / "both", *words, device_words=both)
    assert found[:4] == pytest.approx(alone[:4], rel=1e-4)


def test_two_runs_of_one_training_lose_alike(checkpoint, rows, tmp_path):
    """The same GPU and command give the same losses, bit for bit."""
    words = ["--method=lora"]
    first = losses(checkpoint, rows, tmp_path / "first", *words)
    assert losses(checkpoint, rows, tmp_path / "second", *words) == first


def test_greedy_answers_in_float32_do_not_depend_on_the_batch(checkpoint):
    requests = [Request(messages=sample.messages[:1], seed=1) for sample in make_samples(32)]
    sampling = Sampling(temperature=0.0, top_p=1.0, max_new_tokens=24)
    settings = [
        EngineSettings(device="cuda", precision="float32", batch_size=size) for size in (1, 16)
    ]
    engines = [make_engine(each, model=str(checkpoint)) for each in settings]
    answers = [dict(engine.generate(requests, sampling=sampling)) for engine in engines]
    assert [answers[0][i].text for i in range(32)] == [answers[1][i].text for i in range(32)]

"""The vLLM engine: its real code on a CPU build, and what it calls in the official wheel.

Both need what users' machines and most test machines lack, and are skipped with the reason:
SLUICE_VLLM_PYTHON, the Python of the environment that vllm_cpu.txt describes, and
SLUICE_VLLM_WHEEL, the official wheel of the version in envs/vllm.yaml.
"""

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support import ROOT
from tiny_models import byte_tokenizer
from vllm_python import vllm_environment, vllm_python

from sluice.engines.building import make_engine
from sluice.engines.engine import Completion, Request, Sampling
from sluice.engines.vllm_engine import VllmEngine, lora_rank
from sluice.errors import EngineError, ModelError
from sluice.records import Message
from sluice.settings.engine import EngineSettings

GREEDY = {"temperature": 0, "top_p": 1, "max_new_tokens": 12}
DRAWN = {"temperature": 1.2, "top_p": 0.95, "max_new_tokens": 12}
TEXTS = [f"number {n}" + "!" * (n % 7) for n in range(20)]


@pytest.fixture(scope="module")
def adapter(model, tmp_path_factory):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=4, lora_alpha=32, target_modules=["q_proj", "v_proj"])
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(model), config)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.5)
    folder = tmp_path_factory.mktemp("adapters") / "adapter"
    adapted.save_pretrained(folder)
    return folder


def _answer(folder, model, calls, adapter=None):
    python = vllm_python()
    job = {"model": str(model), "adapter": adapter and str(adapter), "calls": calls}
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [python, Path(__file__).parent / "answer.py", folder / "job.json", folder / "answers.json"],
        env=vllm_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads((folder / "answers.json").read_text())
    return [{int(index): Completion(**each) for index, each in one.items()} for one in found]


def _call(sampling, *, skip=(), seeds=None):
    seeds = seeds or [2**63 - 1 - n for n in range(len(TEXTS))]
    return {
        "requests": list(zip(TEXTS, seeds, strict=True)),
        "sampling": sampling,
        "skip": list(skip),
    }


@pytest.fixture(scope="module")
def answers(model, tmp_path_factory):
    calls = [
        _call(GREEDY),
        _call(GREEDY, skip=[0, 7, 19]),
        _call(DRAWN),
        _call(DRAWN),
        _call(DRAWN, seeds=list(range(20))),
    ]
    return _answer(tmp_path_factory.mktemp("plain"), model, calls)


def test_every_request_is_answered_and_skipped_ones_are_not(answers):
    assert sorted(answers[0]) == list(range(20))
    assert sorted(answers[1]) == [n for n in range(20) if n not in (0, 7, 19)]


def test_completions_are_within_the_limit_and_say_how_they_ended(answers):
    for completion in [each for answer in answers for each in answer.values()]:
        assert 1 <= completion.num_tokens <= 12
        assert completion.finish_reason == "stop" or completion.num_tokens == 12


def test_the_same_seed_draws_the_same_and_another_seed_another(answers):
    assert answers[2] == answers[3]
    differing = [index for index in range(20) if answers[2][index] != answers[4][index]]
    assert len(differing) >= 18


def test_most_greedy_completions_begin_like_those_of_the_transformers_engine(answers, model):
    # Both round to bf16, at different places, so a close call may go either way.
    settings = EngineSettings(device="cpu", precision="bfloat16", batch_size=20)
    engine = make_engine(settings, model=str(model))
    requests = [Request((Message(role="user", content=text),), 0) for text in TEXTS]
    expected = dict(engine.generate(requests, sampling=Sampling(**GREEDY)))
    same = [answers[0][index].text[:2] == expected[index].text[:2] for index in range(20)]
    assert sum(same) >= 14


def test_an_adapter_changes_what_is_written(answers, model, adapter, tmp_path):
    (adapted,) = _answer(tmp_path, model, [_call(GREEDY)], adapter=adapter)
    differing = [index for index in range(20) if adapted[index] != answers[0][index]]
    assert len(differing) >= 15


@pytest.mark.parametrize(("rank", "offered"), [(4, 8), (8, 8), (64, 64), (65, 128), (512, 512)])
def test_rank_of_an_adapter_is_rounded_up_to_one_that_vllm_offers(tmp_path, rank, offered):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": rank, "rank_pattern": {}}))
    assert lora_rank(str(tmp_path)) == offered


def test_largest_rank_of_a_pattern_counts(tmp_path):
    config = {"r": 8, "rank_pattern": {"q_proj": 30}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert lora_rank(str(tmp_path)) == 32


def test_rank_that_is_no_number_is_an_error(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": "8"}))
    with pytest.raises(ModelError, match="cannot be read"):
        lora_rank(str(tmp_path))


def test_rank_that_vllm_does_not_offer_is_an_error(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 513}))
    with pytest.raises(ModelError, match="rank 513"):
        lora_rank(str(tmp_path))
    with pytest.raises(ModelError, match="cannot be read"):
        lora_rank(str(tmp_path / "nothing"))


def test_without_vllm_the_error_names_its_environment(model):
    if "vllm" in sys.modules:
        pytest.skip("vLLM is installed here")
    with pytest.raises(EngineError, match="not installed here") as caught:
        make_engine(EngineSettings(engine="vllm"), model=str(model))
    assert "envs/vllm.yaml" in caught.value.hint


def test_adapter_in_float32_is_refused_since_vllm_has_no_kernels_for_it(model, adapter):
    settings = EngineSettings(engine="vllm", precision="float32")
    with pytest.raises(EngineError, match="no float32 kernels for the adapter") as caught:
        make_engine(settings, model=str(model), adapter=str(adapter))
    assert "merge_adapter" in caught.value.hint


class _StandIn:
    """Hands out and answers ids as it is told, in vLLM's place."""

    def __init__(self, ids, *, answered):
        self.llm_engine = self
        self._ids, self._answered = ids, list(answered)

    def enqueue(self, prompts, sampling_params, **_):
        return self._ids

    def has_unfinished_requests(self):
        return bool(self._answered)

    def step(self):
        written = SimpleNamespace(token_ids=[65], finish_reason="stop")
        id_ = self._answered.pop(0)
        return [SimpleNamespace(request_id=id_, finished=True, outputs=[written])]


@pytest.fixture
def generate(monkeypatch):
    lora = SimpleNamespace(LoRARequest=dict)
    names = {"SamplingParams": dict, "TokensPrompt": dict}
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(**names))
    monkeypatch.setitem(sys.modules, "vllm.lora", SimpleNamespace(request=lora))
    monkeypatch.setitem(sys.modules, "vllm.lora.request", lora)

    def generate(ids, *, answered):
        engine = VllmEngine(_StandIn(ids, answered=answered), byte_tokenizer())
        requests = [Request((Message(role="user", content=text),), 0) for text in "abc"]
        return list(engine.generate(requests, sampling=Sampling(**GREEDY), skip=[0]))

    return generate


def test_answers_are_those_of_the_requests_whose_ids_they_bear(generate):
    found = generate(["7-f00", "8-ba5"], answered=["8", "7"])
    assert [index for index, _ in found] == [2, 1]


@pytest.mark.parametrize("ids", [["7-f00", "7-ba5"], ["7-f00"], ["7-f00", "8-ba5", "9-abc"]])
def test_ids_that_are_not_one_a_prompt_are_refused(generate, ids):
    with pytest.raises(EngineError, match=r"gave 2 prompts \d ids") as caught:
        generate(ids, answered=["7"])
    assert "envs/vllm.yaml" in caught.value.hint


@pytest.mark.parametrize("second", ["9", "8"])
def test_answer_to_a_request_that_does_not_wait_is_refused(generate, second):
    with pytest.raises(EngineError, match=f"answered a request '{second}', which is none of the 1"):
        generate(["7-f00", "8-ba5"], answered=["8", second])


# File in the wheel -> function or class -> parameters or fields that our engine and server use.
_USED = {
    "vllm/entrypoints/llm.py": {
        "__init__": {
            "model",
            "revision",
            "dtype",
            "tensor_parallel_size",
            "gpu_memory_utilization",
        },
        "enqueue": {"prompts", "sampling_params", "lora_request", "use_tqdm"},
        "LLM": {"llm_engine"},
    },
    "vllm/inputs/llm.py": {"TokensPrompt": {"prompt_token_ids"}},
    "vllm/engine/arg_utils.py": {
        "EngineArgs": {
            "max_model_len",
            "enable_lora",
            "max_lora_rank",
            "generation_config",
            "seed",
            "served_model_name",
        }
    },
    "vllm/entrypoints/openai/api_server.py": {},
    "vllm/sampling_params.py": {
        "SamplingParams": {
            "temperature",
            "top_p",
            "max_tokens",
            "seed",
            "stop_token_ids",
            "detokenize",
        }
    },
    "vllm/lora/request.py": {"LoRARequest": {"lora_name", "lora_int_id", "lora_path"}},
    "vllm/v1/engine/llm_engine.py": {"step": set(), "has_unfinished_requests": set()},
    "vllm/outputs.py": {
        "CompletionOutput": {"token_ids", "finish_reason"},
        "RequestOutput": {"request_id", "finished", "outputs"},
    },
}


def _names(node):
    """Parameters of a function, or annotated fields of a class and what its methods set."""
    if isinstance(node, ast.ClassDef):
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        return {each.target.id for each in fields} | {
            each.attr
            for each in ast.walk(node)
            if isinstance(each, ast.Attribute)
            and isinstance(each.ctx, ast.Store)
            and isinstance(each.value, ast.Name)
            and each.value.id == "self"
        }
    return {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}


@pytest.mark.parametrize("file", _USED)
def test_what_we_call_is_in_the_official_wheel(file):
    wheel = os.environ.get("SLUICE_VLLM_WHEEL")
    if not wheel:
        pytest.skip("no official vLLM wheel here: SLUICE_VLLM_WHEEL is not set")
    version = (ROOT / "envs/vllm.yaml").read_text().partition("vllm==")[2].split()[0]
    assert f"vllm-{version}" in Path(wheel).name
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read(file))
    kinds = (ast.FunctionDef, ast.ClassDef)
    defined = {node.name: node for node in ast.walk(tree) if isinstance(node, kinds)}
    for name, used in _USED[file].items():
        assert name in defined
        assert used <= _names(defined[name]), name

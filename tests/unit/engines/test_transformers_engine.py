"""The transformers engine, on a tiny random Qwen3."""

import json
import random
import re
import warnings
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from tiny_models import write_tiny_checkpoint
from transformers import AutoModelForCausalLM, GenerationConfig

from sluice.adapter_files import attach_adapter
from sluice.chat import load_tokenizer
from sluice.engines.building import make_engine
from sluice.engines.engine import Completion, Request, Sampling
from sluice.engines.transformers_engine import TransformersEngine, plan_batches
from sluice.errors import DeviceError, EngineError, ModelError
from sluice.records import Message
from sluice.settings.engine import EngineSettings

GREEDY = Sampling(temperature=0, top_p=1, max_new_tokens=24)
DRAWN = Sampling(temperature=1.3, top_p=0.95, max_new_tokens=24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that ends about one completion in three before the limit."""
    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny", seed=3)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = _tokenizer(folder)
    with torch.no_grad():
        # The end-of-turn token's logit is about as large as the largest of the others.
        model.lm_head.weight[tokenizer.eos_token_id] *= 2.2
    model.save_pretrained(folder)
    return folder


def _tokenizer(folder):
    return load_tokenizer(folder)


def _engine(folder, batch_size=16):
    return make_engine(EngineSettings(device="cpu", batch_size=batch_size), model=str(folder))


def _request(text, seed=0):
    return Request((Message(role="user", content=text),), seed)


def _requests(count=40):
    rng = random.Random(7)
    words = ["tiger", "锤子", "seven plus 4", "is it?", "渡船"]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(count)]
    return [_request(text, seed=1000 + n) for n, text in enumerate(texts)]


def _answers(engine, requests, sampling, **kwargs):
    return dict(engine.generate(requests, sampling=sampling, **kwargs))


@pytest.fixture(scope="module")
def plain(folder):
    """Greedy completions of transformers' own generate, one prompt at a time."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = _tokenizer(folder)
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=24,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    texts = []
    for request in _requests():
        prompt = tokenizer.apply_chat_template(
            [message.model_dump() for message in request.messages],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        written = model.generate(**prompt, generation_config=config)[0]
        texts.append(written[prompt["input_ids"].shape[1] :].tolist())
    return texts


@pytest.mark.parametrize("batch_size", [1, 16])
def test_greedy_is_what_generate_writes(folder, plain, batch_size):
    tokenizer = _tokenizer(folder)
    answers = _answers(_engine(folder, batch_size), _requests(), GREEDY)
    for index, ids in enumerate(plain):
        has_ended = ids[-1] == tokenizer.eos_token_id
        text = tokenizer.decode(ids[:-1] if has_ended else ids, skip_special_tokens=True)
        reason = "stop" if has_ended else "length"
        assert answers[index] == Completion(text, len(ids), reason)


def test_some_completions_end_and_some_are_cut_off(plain, folder):
    eos = _tokenizer(folder).eos_token_id
    ended = sum(ids[-1] == eos for ids in plain)
    assert 3 <= ended <= len(plain) - 3  # else the tests of this file would show little


@pytest.mark.parametrize("sampling", [DRAWN, GREEDY], ids=["drawn", "greedy"])
def test_completions_depend_neither_on_batch_size_nor_on_order(folder, sampling):
    requests = _requests()
    expected = _answers(_engine(folder, 1), requests, sampling)
    for batch_size in (3, 16, 128):
        assert _answers(_engine(folder, batch_size), requests, sampling) == expected
    order = list(range(len(requests)))
    random.Random(2).shuffle(order)
    shuffled = _answers(_engine(folder), [requests[index] for index in order], sampling)
    assert {order[place]: completion for place, completion in shuffled.items()} == expected


def test_copies_of_a_prompt_get_what_they_get_alone(folder):
    copies = [_request("tiger tiger", seed=n) for n in range(20)]
    together = _answers(_engine(folder), copies, DRAWN)
    assert len({completion.text for completion in together.values()}) > 10
    for index, request in enumerate(copies):
        assert _answers(_engine(folder), [request], DRAWN)[0] == together[index]


def test_same_seed_gives_the_same_completion_and_another_seed_another(folder):
    twins = [_request("渡船", seed=5), _request("渡船", seed=5), _request("渡船", seed=6)]
    answers = _answers(_engine(folder), twins, DRAWN)
    assert answers[0] == answers[1] != answers[2]


def test_first_tokens_follow_the_models_softmax(folder):
    engine = _engine(folder, 500)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), _tokenizer(folder)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "one"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.no_grad():
        p = model(**prompt).logits[0, -1].double().softmax(-1).numpy()
    num_draws = 4000
    requests = [_request("one", seed=n) for n in range(num_draws)]
    texts = _answers(engine, requests, Sampling(1.0, 1.0, 1)).values()
    # Bytes that are no text on their own decode to the same mark: they are counted together.
    names = [tokenizer.decode([token], skip_special_tokens=True) for token in range(len(p))]
    expected = Counter()
    for name, mass in zip(names, p, strict=True):
        expected[name] += mass * num_draws
    common = [name for name in expected if expected[name] >= 5]
    observed = Counter(completion.text for completion in texts)
    rest = num_draws - sum(expected[name] for name in common)
    counts = [observed[name] for name in common]
    result = chisquare(
        [*counts, num_draws - sum(counts)], [*(expected[name] for name in common), rest]
    )
    assert len(common) > 10
    assert result.pvalue > 0.01


@pytest.mark.parametrize("num_done", [0, 1, 7, 16, 39, 40])
def test_the_rest_of_an_interrupted_run_is_what_the_whole_run_gave(folder, num_done):
    requests = _requests()
    whole = list(_engine(folder).generate(requests, sampling=DRAWN))
    done = {index for index, _ in whole[:num_done]}
    assert list(_engine(folder).generate(requests, sampling=DRAWN, skip=done)) == whole[num_done:]


def test_batches_that_are_done_are_not_run_again(folder, monkeypatch):
    requests = _requests()
    engine = _engine(folder)
    whole = list(engine.generate(requests, sampling=GREEDY))
    sizes = []
    complete = TransformersEngine.complete

    def counted(self, prompts, **kwargs):
        sizes.append(len(prompts))
        return complete(self, prompts, **kwargs)

    monkeypatch.setattr(TransformersEngine, "complete", counted)
    rest = list(engine.generate(requests, sampling=GREEDY, skip={index for index, _ in whole[:20]}))
    assert sizes == [16, 8]
    assert len(rest) == 20


@settings(deadline=None)
@given(st.lists(st.integers(1, 30)), st.integers(1, 12))
def test_batches_hold_every_prompt_once_and_none_is_over_full(lengths, batch_size):
    batches = plan_batches(lengths, batch_size=batch_size)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert len(batches) == -(-len(lengths) // batch_size)
    flat = [lengths[index] for batch in batches for index in batch]
    assert flat == sorted(flat, reverse=True)


def test_no_request_gives_no_completion(folder):
    assert _answers(_engine(folder), [], GREEDY) == {}


def test_every_end_token_of_the_generation_config_ends_a_turn(folder, plain, tmp_path):
    # A token in the middle of the first long completion is declared an end of turn.
    index = max(range(len(plain)), key=lambda each: len(plain[each]))
    ended_by = plain[index][5]
    copy = write_tiny_checkpoint(tmp_path / "copy")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.generation_config.eos_token_id = [ended_by]
    model.save_pretrained(copy)
    completion = _answers(_engine(copy), [_requests()[index]], GREEDY)[0]
    expected = plain[index][: plain[index].index(ended_by) + 1]
    assert completion.num_tokens == len(expected)
    assert completion.finish_reason == "stop"


def test_sampling_choices_of_the_checkpoint_are_not_used(folder, plain, tmp_path):
    copy = write_tiny_checkpoint(tmp_path / "copy")
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(copy)
    config = json.loads((copy / "generation_config.json").read_text())
    config |= {"do_sample": True, "temperature": 9.0, "top_k": 2, "repetition_penalty": 5.0}
    (copy / "generation_config.json").write_text(json.dumps(config))
    requests = _requests()
    assert _answers(_engine(copy), requests, GREEDY) == _answers(_engine(folder), requests, GREEDY)


def test_completion_ends_where_the_context_is_full(folder, tmp_path):
    short = write_tiny_checkpoint(tmp_path / "short")
    config = json.loads((short / "config.json").read_text())
    config["max_position_embeddings"] = 40
    (short / "config.json").write_text(json.dumps(config))
    tokenizer = _tokenizer(short)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hello"}], tokenize=False, add_generation_prompt=True
    )
    prompt_tokens = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    answer = _answers(_engine(short), [_request("hello")], Sampling(0, 1, 500))[0]
    assert (answer.finish_reason, answer.num_tokens) == ("length", 40 - prompt_tokens)
    with pytest.raises(EngineError, match=r"1 prompts fill the model's context of 40 tokens"):
        _answers(_engine(short), [_request("hello"), _request("hello" * 9)], GREEDY)


def test_prompt_without_a_token_is_an_error(folder):
    engine = _engine(folder)
    engine._tokenizer.chat_template = "{{ messages[0].content if messages[0].content != 'a' }}"
    with pytest.raises(EngineError, match="1 of 2 prompts have no token"):
        _answers(engine, [_request("a"), _request("b"), _request("a")], GREEDY)


@pytest.fixture(scope="module")
def adapter(folder, tmp_path_factory):
    """A random adapter of peft for the tiny model."""
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(folder)
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapted = get_peft_model(model, config)
    target = tmp_path_factory.mktemp("adapters") / "adapter"
    adapted.save_pretrained(target)
    return target


def test_adapter_writes_what_the_merged_model_writes(folder, adapter, tmp_path):
    from peft import PeftModel

    merged = write_tiny_checkpoint(tmp_path / "merged")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), adapter)
    model.merge_and_unload().save_pretrained(merged)
    engine = make_engine(EngineSettings(device="cpu"), model=str(folder), adapter=str(adapter))
    requests = _requests(12)
    answers = _answers(engine, requests, GREEDY)
    assert answers == _answers(_engine(merged), requests, GREEDY)
    assert answers != _answers(_engine(folder), requests, GREEDY)


DTYPES = {
    "auto": torch.float32,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@pytest.mark.parametrize("precision", DTYPES)
def test_precision_is_the_one_asked_for_and_answers_come_in_each(folder, adapter, precision):
    settings = EngineSettings(device="cpu", precision=precision, batch_size=8)
    for more in ({}, {"adapter": str(adapter)}):
        engine = make_engine(settings, model=str(folder), **more)
        assert engine._model.dtype == DTYPES[precision]
        for sampling in (GREEDY, DRAWN):
            assert len(_answers(engine, _requests(12), sampling)) == 12


def test_most_greedy_answers_in_bfloat16_begin_as_in_float32(folder):
    # A close call may go the other way, and what follows is then another text.
    settings = EngineSettings(device="cpu", precision="bfloat16", batch_size=16)
    rounded = _answers(make_engine(settings, model=str(folder)), _requests(), GREEDY)
    exact = _answers(_engine(folder), _requests(), GREEDY)
    same = [rounded[index].text[:2] == exact[index].text[:2] for index in exact]
    assert sum(same) >= 0.8 * len(same)


def test_adapter_folder_that_holds_a_whole_model_takes_the_bases_place(folder, tmp_path):
    other = write_tiny_checkpoint(tmp_path / "other", seed=9)
    engine = make_engine(EngineSettings(device="cpu"), model=str(folder), adapter=str(other))
    requests = _requests(4)
    assert _answers(engine, requests, GREEDY) == _answers(_engine(other), requests, GREEDY)


def test_adapter_folder_without_either_is_an_error(folder, tmp_path):
    with pytest.raises(ModelError, match="neither an adapter nor a model"):
        make_engine(EngineSettings(device="cpu"), model=str(folder), adapter=str(tmp_path))


@pytest.mark.parametrize(
    ("num_layers", "problem"),
    [
        (1, r"4 of its tensors have no place in the model \(.*layers\.1\..* and 2 more\)$"),
        (3, r"4 tensors that the model needs are missing in it \(.*layers\.2\..* and 2 more\)$"),
    ],
)
def test_adapter_of_another_model_is_refused(folder, adapter, tmp_path, num_layers, problem):
    other = write_tiny_checkpoint(tmp_path / "other", num_layers=num_layers)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(ModelError, match="does not fit its base") as caught:
            make_engine(EngineSettings(device="cpu"), model=str(other), adapter=str(adapter))
    assert re.search(problem, caught.value.what)
    assert caught.value.expected == f"the model that it was trained on: {folder}"


def test_adapter_of_a_wider_model_is_refused_with_the_cause(adapter, tmp_path):
    other = write_tiny_checkpoint(tmp_path / "other", intermediate_size=128)
    with pytest.raises(ModelError, match=r"state_dict for \w+: size mismatch for .*down_proj"):
        make_engine(EngineSettings(device="cpu"), model=str(other), adapter=str(adapter))


@pytest.mark.parametrize(
    "more",
    [
        {"modules_to_save": ["lm_head", "embed_tokens"]},
        {"layers_to_transform": [1]},
        {"trainable_token_indices": [1, 2]},
        {"use_dora": True},
        {"bias": "lora_only"},
    ],
    ids=lambda more: next(iter(more)),
)
@pytest.mark.parametrize("is_tied", [False, True])
def test_every_kind_of_adapter_fits_its_own_base(tmp_path, more, is_tied):
    from peft import LoraConfig, get_peft_model

    base = write_tiny_checkpoint(tmp_path / "base", is_tied=is_tied)
    config = LoraConfig(target_modules=["q_proj", "v_proj"], **more)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(tmp_path)
    engine = make_engine(EngineSettings(device="cpu"), model=str(base), adapter=str(tmp_path))
    assert len(_answers(engine, _requests(2), GREEDY)) == 2


def test_learnt_prompt_fits_its_base(folder, tmp_path):
    from peft import PromptTuningConfig, get_peft_model

    config = PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    model = AutoModelForCausalLM.from_pretrained(folder)
    get_peft_model(model, config).save_pretrained(tmp_path)
    attach_adapter(AutoModelForCausalLM.from_pretrained(folder), tmp_path)


def test_adapter_folder_that_is_not_there_is_an_error(folder, tmp_path):
    with pytest.raises(ModelError, match=r"the folder .*/nothing does not exist"):
        make_engine(
            EngineSettings(device="cpu"), model=str(folder), adapter=str(tmp_path / "nothing")
        )


def test_model_that_is_not_there_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no causal language model"):
        _engine(tmp_path / "empty")


@pytest.mark.parametrize(
    ("device", "message"), [("cuda:99", "usable GPUs"), ("bananas", "is no device")]
)
def test_device_that_is_not_there_is_an_error(folder, device, message):
    with pytest.raises(EngineError, match=message):
        make_engine(EngineSettings(device=device), model=str(folder))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_batch_too_large_for_the_memory_is_halved_and_answers_stay(
    folder, monkeypatch, temperature
):
    sampling = Sampling(temperature=temperature, top_p=1.0, max_new_tokens=12)
    engine, requests = _engine(folder), _requests(20)
    whole = _answers(engine, requests, sampling)
    sizes, forward = [], engine._model.forward

    def limited(*args, **more):
        sizes.append(len(more["input_ids"]))
        if len(more["input_ids"]) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return forward(*args, **more)

    monkeypatch.setattr(engine._model, "forward", limited)
    assert _answers(engine, requests, sampling) == whole
    assert max(sizes) == 16


def test_prompt_too_large_for_the_memory_is_an_error_with_the_numbers(folder, monkeypatch):
    engine = _engine(folder)

    def limited(*args, **more):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")

    monkeypatch.setattr(engine._model, "forward", limited)
    with pytest.raises(DeviceError, match=r"one of the prompts by itself: \d+ tokens .*1 GiB"):
        _answers(engine, _requests(2), Sampling(temperature=0, top_p=1.0, max_new_tokens=4))


def test_a_long_batch_says_how_far_it_is(folder, monkeypatch, caplog):
    monkeypatch.setattr("sluice.engines.transformers_engine.LINE_EVERY_S", 0.0)
    caplog.set_level("INFO", logger="sluice")
    _answers(_engine(folder, 16), _requests(), GREEDY)
    found = re.findall(r"(\d+) tokens each, (\d+) of (\d+) completions still open", caplog.text)
    assert [int(tokens) for tokens, _, total in found if total == found[0][2]][:3] == [0, 1, 2]
    still_open = [int(number) for _, number, _ in found]
    assert still_open[0] > still_open[-1] > 0

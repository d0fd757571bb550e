"""Router data agrees with a plain reference, whatever the batches, order, shards and crashes."""

import json
import random
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from gate_samples import make_sample, make_samples, silent_sample
from transformers import AutoModelForCausalLM

from sluice.errors import DataError, DeviceError, ScoringError
from sluice.gate import collection
from sluice.gate.collection import collect_router_data
from sluice.gate.modeling import gate_parameters
from sluice.gate.token_statistics import token_statistics
from sluice.ledger import Ledger, read_ledger
from sluice.records import Message
from sluice.router_data import MAX_NLL_NATS, join_router_data, read_router_data, write_router_data
from sluice.settings.gate import CollectRouterData

SAMPLES = make_samples(14)


class _KilledError(Exception):
    pass


# The reference: one sample at a time, through the ungated source model, in float64


@dataclass
class _Reference:
    """What is known of one sample; entry j describes token j + 1."""

    is_response: list[bool]
    nll: torch.Tensor
    entropy: torch.Tensor
    varentropy: torch.Tensor
    gates: torch.Tensor


def _surprise(model, token_ids):
    """-log p of every word of the vocabulary at every place but the last."""
    with torch.no_grad():
        logits_TV = model(input_ids=torch.tensor([token_ids])).logits[0].double()
    return (logits_TV.exp().sum(-1, keepdim=True).log() - logits_TV)[:-1]


def _at(surprise_EV, token_ids):
    return [row[token] for row, token in zip(surprise_EV, token_ids, strict=True)]


def _reference(plain, gated, tokenizer, sample):
    messages = [message.model_dump() for message in sample.messages]
    encoded = tokenizer.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    token_ids = encoded["input_ids"]
    seen = []
    hooks = [
        layer.post_attention_layernorm.register_forward_hook(lambda m, i, out: seen.append(out[0]))
        for layer in plain.model.layers
    ]
    surprise_EV = _surprise(plain, token_ids)
    for hook in hooks:
        hook.remove()
    p_EV = (-surprise_EV).exp()
    entropy_E = (p_EV * surprise_EV).sum(-1)
    gates = [
        (hidden_TD.double() * weight_D.double()).sum(-1)[1:]
        for hidden_TD, weight_D in zip(seen, gate_parameters(gated).values(), strict=True)
    ]
    return _Reference(
        is_response=[bool(flag) for flag in encoded["assistant_masks"][1:]],
        nll=torch.stack(
            [row[token] for row, token in zip(surprise_EV, token_ids[1:], strict=True)]
        ),
        entropy=entropy_E,
        varentropy=(p_EV * (surprise_EV - entropy_E[:, None]) ** 2).sum(-1),
        gates=torch.stack(gates, dim=-1).detach(),
    )


@pytest.fixture(scope="module")
def plain(source):
    return AutoModelForCausalLM.from_pretrained(source).eval()


@pytest.fixture(scope="module")
def references(plain, gated, tokenizer):
    return {sample.id: _reference(plain, gated, tokenizer, sample) for sample in SAMPLES}


@pytest.fixture(scope="module")
def collect(gated, tokenizer, tmp_path_factory):
    def run(samples=SAMPLES, *, model=gated, folder=None, **settings):
        folder = folder or tmp_path_factory.mktemp("collected")
        (folder / "state").mkdir(exist_ok=True)
        ledger = Ledger(
            "collect_router_data",
            "some",
            path=folder / "l.json",
            rejected_path=folder / "rejected.jsonl",
        )
        with ledger:
            return collect_router_data(
                model,
                tokenizer,
                samples,
                dataset="some",
                settings=CollectRouterData(**settings),
                ledger=ledger,
                state=folder / "state",
            )

    return run


@pytest.fixture(scope="module")
def collected(collect):
    return collect()


def _of_sample(data, index):
    return slice(int(data.offsets[index]), int(data.offsets[index + 1]))


def _close_in_half(found, expected):
    """Whether float16 numbers are the expected ones: 11 bits, and 1e-4 for what is rounded."""
    return torch.allclose(found.double(), expected.double(), rtol=2**-10, atol=1e-4)


def test_records_are_those_of_the_reference(collected, references):
    assert collected.sample_ids == sorted(references)
    assert collected.dataset_name == "some"
    for index, sample_id in enumerate(collected.sample_ids):
        place, expected = _of_sample(collected, index), references[sample_id]
        assert collected.is_response[place].tolist() == expected.is_response
        found_nll = collected.perplexities[place].double().log()
        assert torch.allclose(found_nll, expected.nll, atol=1e-4)
        assert _close_in_half(collected.entropies[place], expected.entropy)
        assert _close_in_half(collected.varentropies[place], expected.varentropy)
        assert _close_in_half(collected.quality_gates[place], expected.gates)


def test_reference_varies_enough_to_tell_an_error(references):
    for name in ("nll", "entropy", "varentropy", "gates"):
        values = torch.cat(
            [getattr(reference, name).flatten() for reference in references.values()]
        )
        assert values.std() > 0.1, name
    assert all(0 < sum(r.is_response) < len(r.is_response) for r in references.values())


def test_statistics_before_rounding_are_the_references_whatever_stands_beside(
    gated, tokenizer, references
):
    messages = [[m.model_dump() for m in sample.messages] for sample in SAMPLES]
    token_ids = [
        tokenizer.apply_chat_template(each, return_dict=True)["input_ids"] for each in messages
    ]
    together = token_statistics(gated, token_ids)
    expected = [references[sample.id] for sample in SAMPLES]
    for found, name in (
        (together.nll, "nll"),
        (together.entropy, "entropy"),
        (together.varentropy, "varentropy"),
        (together.gate_logits, "gates"),
    ):
        by_hand = torch.cat([getattr(reference, name) for reference in expected])
        assert torch.allclose(found.double(), by_hand, atol=1e-4), name


def test_slices_of_the_vocabularys_logits_do_not_show(gated, monkeypatch):
    token_ids = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14]]
    whole = token_statistics(gated, token_ids)
    monkeypatch.setattr("sluice.gate.token_statistics._MAX_LOGIT_VALUES", {"cpu": 3 * 262})
    sliced = token_statistics(gated, token_ids)
    assert torch.allclose(whole.nll, sliced.nll, atol=1e-5)
    assert torch.allclose(whole.varentropy, sliced.varentropy, atol=1e-4)


def test_a_batch_of_single_tokens_has_no_entries(gated):
    statistics = token_statistics(gated, [[5], [6]])
    assert statistics.nll.shape == statistics.entropy.shape == statistics.varentropy.shape == (0,)
    assert statistics.gate_logits.shape == (0, 2)


def test_a_certain_model_has_entropy_and_varentropy_of_zero_and_finite_surprise(gated):
    # Scaling the last layer up makes one word certain: all others have a probability of 0.
    scaled = torch.nn.Linear(64, 262, bias=False)
    with torch.no_grad():
        scaled.weight.copy_(gated.lm_head.weight * 1e4)
    plain_head, gated.lm_head = gated.lm_head, scaled
    try:
        statistics = token_statistics(gated, [[5, 6, 7, 8]])
    finally:
        gated.lm_head = plain_head
    assert statistics.entropy.abs().max() < 1e-3
    assert statistics.varentropy.abs().max() < 1e-3
    assert statistics.nll.isfinite().all()
    assert statistics.nll.max() > MAX_NLL_NATS


def _assert_same_records(first, second):
    assert first.sample_ids == second.sample_ids
    assert torch.equal(first.offsets, second.offsets)
    assert torch.equal(first.is_response, second.is_response)
    assert torch.allclose(first.perplexities.log(), second.perplexities.log(), atol=1e-4)
    assert torch.allclose(first.response_nll_alone, second.response_nll_alone, atol=1e-4)
    for name in ("entropies", "varentropies", "quality_gates"):
        assert _close_in_half(getattr(first, name), getattr(second, name)), name


@pytest.mark.parametrize("tokens_per_batch", [64, 300, 8192])
def test_batch_budget_does_not_change_a_record(collect, collected, tokens_per_batch):
    _assert_same_records(collect(tokens_per_batch=tokens_per_batch), collected)


def test_order_of_the_samples_does_not_change_a_byte(collect, collected, tmp_path):
    shuffled = random.Random(1).sample(SAMPLES, len(SAMPLES))
    assert [sample.id for sample in shuffled] != collected.sample_ids
    write_router_data(tmp_path / "a.pt", collected)
    write_router_data(tmp_path / "b.pt", collect(shuffled))
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_an_id_that_stands_twice_is_refused(collect):
    with pytest.raises(DataError, match="'some_03' stands twice"):
        collect([*SAMPLES, SAMPLES[3]])


@pytest.mark.parametrize("num_parts", [2, 5])
def test_the_samples_beside_it_do_not_change_a_record(collect, collected, num_parts):
    parts = [collect(SAMPLES[part::num_parts]) for part in range(num_parts)]
    _assert_same_records(join_router_data(parts), collected)


def test_no_batch_is_over_its_budget_unless_it_holds_one_sequence(gated, collect):
    shapes = []
    hook = gated.model.embed_tokens.register_forward_hook(
        lambda module, inputs, output: shapes.append(tuple(inputs[0].shape))
    )
    collect(tokens_per_batch=300)
    hook.remove()
    assert all(rows * width <= 300 or rows == 1 for rows, width in shapes)
    assert any(rows > 1 for rows, _ in shapes)
    widths = [width for _, width in shapes]
    assert widths == sorted(widths, reverse=True)
    assert sum(rows for rows, _ in shapes) == 2 * len(SAMPLES)  # with the responses alone


# The response on its own


def test_nll_alone_is_that_of_the_response_behind_the_turns_opening(
    collected, plain, tokenizer, references
):
    opening = tokenizer("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
    by_id = {sample.id: sample for sample in SAMPLES}
    for index, sample_id in enumerate(collected.sample_ids):
        replies = [m.content for m in by_id[sample_id].messages if m.role == "assistant"]
        text = "".join(f"{reply}<|im_end|>" for reply in replies)
        response = tokenizer(text, add_special_tokens=False)["input_ids"]
        surprise_EV = _surprise(plain, opening + response)[len(opening) - 1 :]
        nll = _at(surprise_EV, response)
        found = collected.response_nll_alone[index].item()
        assert found == pytest.approx(torch.stack(nll).mean().item(), abs=1e-4)
        with_prompt = references[sample_id].nll[torch.tensor(references[sample_id].is_response)]
        assert abs(found - with_prompt.mean().item()) > 1e-3


def test_without_ifd_responses_are_not_scored_alone(collect, collected):
    data = collect(with_ifd=False)
    assert data.response_nll_alone is None
    assert torch.allclose(data.perplexities.log(), collected.perplexities.log(), atol=1e-4)


# The token limit, and samples without a response


def test_cut_sample_has_the_records_of_its_first_tokens(collect, collected):
    data = collect(max_tokens=60)
    assert int(data.num_entries().max()) == 59
    for index in range(data.num_samples):
        whole = _of_sample(collected, index)
        cut = slice(whole.start, min(whole.stop, whole.start + 59))
        found = data.perplexities[_of_sample(data, index)]
        assert torch.allclose(found.log(), collected.perplexities[cut].log(), atol=1e-4)


def test_samples_without_a_response_token_stop_the_run(collect):
    samples = [*SAMPLES, silent_sample(91), silent_sample(90)]
    with pytest.raises(ScoringError) as caught:
        collect(samples, max_tokens=512)
    text = str(caught.value)
    assert "2 of 16 samples have no response token (first ids: some_90, some_91)" in text
    assert "within the first 512" in text
    assert "data.on_empty_response: drop" in text


def test_samples_without_a_response_token_are_dropped_and_counted(collect, collected, tmp_path):
    samples = [silent_sample(91), *SAMPLES, silent_sample(90)]
    data = collect(samples, folder=tmp_path, on_empty_response="drop")
    _assert_same_records(data, collected)
    ledger = read_ledger(tmp_path / "l.json")
    assert (ledger["rows_in"], ledger["rows_kept"]) == (16, 14)
    assert ledger["rejected"] == {"no_response_token": 2}
    lines = (tmp_path / "rejected.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["where"] for entry in entries] == ["some_91", "some_90"]
    assert entries[0]["row"] == silent_sample(91).model_dump(mode="json", exclude_none=True)


def test_sample_whose_response_is_cut_away_has_none(collect, tmp_path):
    sample = make_sample(80, "Yes.")
    question = Message(role="user", content="Say nothing. " * 20)
    sample = sample.model_copy(update={"messages": (question, sample.messages[1])})
    data = collect([*SAMPLES, sample], folder=tmp_path, max_tokens=90, on_empty_response="drop")
    assert sample.id not in data.sample_ids
    assert read_ledger(tmp_path / "l.json")["rejected"] == {"no_response_token": 1}


def test_shard_without_a_sample_to_score_is_an_empty_file(collect, tmp_path):
    data = collect([silent_sample(1)], folder=tmp_path, on_empty_response="drop")
    write_router_data(tmp_path / "empty.pt", data)
    full = collect(SAMPLES)
    joined = join_router_data([read_router_data(tmp_path / "empty.pt"), full])
    assert joined.sample_ids == full.sample_ids
    assert torch.equal(joined.quality_gates, full.quality_gates)


# Crashes


@contextmanager
def _counted(model, *, dies_at=None, saves_after=None):
    """Counts the model's passes; pass ``dies_at`` raises, those of ``saves_after`` are saved."""
    passes = []

    def count(module, inputs):
        passes.append(inputs[0].shape)
        if saves_after is not None:
            collection._SAVE_EVERY_S = -1.0 if len(passes) in saves_after else 1e9
        if len(passes) == dies_at:
            raise _KilledError

    hook = model.model.embed_tokens.register_forward_pre_hook(count)
    try:
        yield passes
    finally:
        hook.remove()


def _resume(gated, collect, tmp_path, *, dies_at, saves_after):
    """(passes of a whole run, of a resumed one); the files of both are in ``tmp_path``."""
    with _counted(gated) as undisturbed:
        write_router_data(tmp_path / "whole.pt", collect(tokens_per_batch=300))
    killed = _counted(gated, dies_at=dies_at, saves_after=saves_after)
    with killed, pytest.raises(_KilledError):
        collect(tokens_per_batch=300, folder=tmp_path)
    with _counted(gated) as second:
        write_router_data(tmp_path / "resumed.pt", collect(tokens_per_batch=300, folder=tmp_path))
    return undisturbed, second


@pytest.mark.parametrize(
    ("dies_at", "saves_after", "num_saved"),
    [(1, (), 0), (2, (1,), 1), (7, (3, 5), 5), (7, range(1, 7), 6)],
)
def test_a_killed_run_goes_on_to_the_same_bytes(
    gated, collect, tmp_path, monkeypatch, dies_at, saves_after, num_saved
):
    monkeypatch.setattr(collection, "_SAVE_EVERY_S", collection._SAVE_EVERY_S)  # put back at last
    undisturbed, second = _resume(
        gated, collect, tmp_path, dies_at=dies_at, saves_after=saves_after
    )
    # What was saved is not done again, and everything else is.
    assert second == undisturbed[num_saved:]
    parts = sorted(path.name for path in (tmp_path / "state").iterdir())
    assert [name for name in parts if int(name[:9]) <= num_saved] == [
        f"{number:09d}.pt" for number in saves_after
    ]
    assert (tmp_path / "resumed.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()


def _with_memory_for(gated, monkeypatch, num_tokens):
    """Lets the model's forward pass run out of memory above a number of tokens; notes the sizes."""
    sizes, forward = [], gated.model.forward

    def limited(*args, input_ids, **more):
        sizes.append(input_ids.numel())
        if input_ids.numel() > num_tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return forward(*args, input_ids=input_ids, **more)

    monkeypatch.setattr(gated.model, "forward", limited)
    return sizes


def test_batch_too_large_for_the_memory_is_halved_and_records_stay(collect, gated, monkeypatch):
    whole = collect()
    sizes = _with_memory_for(gated, monkeypatch, 400)
    in_parts = collect()
    assert max(sizes) > 400  # it did run out of memory
    assert min(sizes) <= 400
    assert in_parts.sample_ids == whole.sample_ids
    torch.testing.assert_close(in_parts.perplexities, whole.perplexities, rtol=1e-5, atol=0)
    torch.testing.assert_close(in_parts.quality_gates, whole.quality_gates, atol=2e-3, rtol=0)
    torch.testing.assert_close(in_parts.entropies, whole.entropies, atol=2e-3, rtol=0)
    torch.testing.assert_close(
        in_parts.response_nll_alone, whole.response_nll_alone, rtol=1e-5, atol=0
    )


def test_sample_too_large_for_the_memory_is_an_error_with_the_numbers(collect, gated, monkeypatch):
    _with_memory_for(gated, monkeypatch, 10)
    with pytest.raises(DeviceError, match=r"does not hold one of the sequences .* \d+ tokens"):
        collect()

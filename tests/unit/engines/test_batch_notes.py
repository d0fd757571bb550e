"""A batch that is interrupted in its middle goes on there, and gives the very same completions."""

from types import SimpleNamespace

import pytest
import torch
from tiny_models import write_tiny_checkpoint
from transformers import AutoConfig, AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from sluice.chat import load_tokenizer
from sluice.engines.batch_notes import BatchNotes
from sluice.engines.decoding import Batch, Rows
from sluice.engines.engine import Request, Sampling, Unfinished
from sluice.engines.notes import Notes, generate_all
from sluice.engines.transformers_engine import TransformersEngine
from sluice.records import Message
from sluice.tensor_files import write_tensors

GREEDY = Sampling(temperature=0, top_p=1, max_new_tokens=24)
DRAWN = Sampling(temperature=1.3, top_p=0.95, max_new_tokens=24)
NUM_ROWS = 12


class Stopped(Exception):
    """What interrupts a batch."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that ends some of its completions before the limit, so that rows leave the batch."""
    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny", seed=3)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight[load_tokenizer(folder).eos_token_id] *= 4
    model.save_pretrained(folder)
    return folder


def _windowed(folder):
    """The same model, with layers that see 20 tokens only, in between."""
    config = Qwen3Config.from_pretrained(folder)
    kinds = ["sliding_attention", "full_attention"]
    config.layer_types = [kinds[layer % 2] for layer in range(config.num_hidden_layers)]
    config.use_sliding_window, config.sliding_window = True, 20
    return Qwen3ForCausalLM.from_pretrained(folder, config=config)


@pytest.fixture(scope="module", params=["float32", "bfloat16", "sliding windows"])
def model(folder, request):
    if request.param == "sliding windows":
        return _windowed(folder).eval()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, request.param)).eval()


def _engine(model, folder):
    return TransformersEngine(model, load_tokenizer(folder), batch_size=NUM_ROWS)


def _requests():
    """Four prompts of different lengths, three times each."""
    texts = ["tiger", "seven plus 4 is it?", "渡船 " * 9, "a b c d e f g " * 4]
    return [Request((Message(role="user", content=texts[n % 4]),), seed=n) for n in range(NUM_ROWS)]


@pytest.fixture
def passes(model, monkeypatch):
    """Logits of every forward pass; the pass after ``stop_after`` of them is interrupted."""
    state = SimpleNamespace(logits=[], stop_after=None, count=0)
    forward = model.forward

    def watched(*args, **more):
        if len(state.logits) == state.stop_after:
            raise Stopped
        output = forward(*args, **more)
        state.logits.append(output.logits[:, -1].clone())
        state.count += 1
        return output

    monkeypatch.setattr(model, "forward", watched)
    return state


@pytest.fixture
def save_every(passes, monkeypatch):
    """A clock that counts forward passes: notes are taken after every n-th."""

    def set_interval(num_passes):
        clock = SimpleNamespace(monotonic=lambda: passes.count)
        monkeypatch.setattr("sluice.engines.batch_notes.time", clock)
        monkeypatch.setattr("sluice.engines.batch_notes.SAVE_EVERY_S", num_passes)

    return set_interval


@pytest.fixture
def few_columns(monkeypatch, model):
    """Prompts are read seven tokens of each at a time, as those of a large model are."""
    flop = 2 * 7 * 4 * sum(each.numel() for each in model.parameters())
    monkeypatch.setattr("sluice.engines.decoding._FLOP_OF_A_READING", {"cpu": flop * 1.01})


def _interrupted(engine, sampling, unfinished, passes, *, stop_after):
    passes.logits.clear()
    passes.stop_after = stop_after
    with pytest.raises(Stopped):
        list(engine.generate(_requests(), sampling=sampling, unfinished=unfinished))
    passes.stop_after = None


@pytest.mark.parametrize(
    ("model", "sampling", "interval"),
    [
        ("float32", GREEDY, 1),
        ("float32", DRAWN, 3),
        ("float32", DRAWN, 8),
        ("bfloat16", DRAWN, 3),
        ("sliding windows", DRAWN, 3),
        ("sliding windows", GREEDY, 8),
    ],
    indirect=["model"],
)
def test_interrupted_anywhere_a_batch_goes_on_bit_for_bit(
    model, folder, passes, save_every, few_columns, tmp_path, sampling, interval
):
    engine = _engine(model, folder)
    expected = list(engine.generate(_requests(), sampling=sampling))
    undisturbed = list(passes.logits)
    assert len({len(logits) for logits in undisturbed}) > 2, "no row left the batch"
    save_every(interval)
    for stop_after in range(1, len(undisturbed)):
        unfinished = Unfinished(tmp_path / str(stop_after), on_saved=lambda: None)
        _interrupted(engine, sampling, unfinished, passes, stop_after=stop_after)
        assert all(map(torch.equal, passes.logits, undisturbed))
        passes.logits.clear()
        found = list(engine.generate(_requests(), sampling=sampling, unfinished=unfinished))
        assert found == expected
        # Only what came after the last notes is computed again.
        assert len(undisturbed) - stop_after <= len(passes.logits)
        assert len(passes.logits) <= len(undisturbed) - stop_after + interval
        assert all(map(torch.equal, reversed(passes.logits), reversed(undisturbed)))
        assert not unfinished.folder.exists()


def test_a_batch_may_be_interrupted_again_and_again(model, folder, passes, save_every, tmp_path):
    save_every(1)
    engine = _engine(model, folder)
    expected = list(engine.generate(_requests(), sampling=DRAWN))
    total = len(passes.logits)
    unfinished = Unfinished(tmp_path / "unfinished", on_saved=lambda: None)
    num_times = (total - 1) // 2
    for _ in range(num_times):
        _interrupted(engine, DRAWN, unfinished, passes, stop_after=2)
    passes.logits.clear()
    assert list(engine.generate(_requests(), sampling=DRAWN, unfinished=unfinished)) == expected
    assert len(passes.logits) == total - 2 * num_times


def test_prompts_are_kept_once_each_however_many_rows_have_them(
    model, folder, passes, save_every, tmp_path
):
    save_every(5)
    unfinished = Unfinished(tmp_path / "unfinished", on_saved=lambda: None)
    _interrupted(_engine(model, folder), DRAWN, unfinished, passes, stop_after=7)
    parts = [torch.load(path) for path in sorted(unfinished.folder.glob("*/0*.pt"))]
    assert {(part["of"], len(part["numbers"])) for part in parts} == {
        ("prompts", 4),
        ("rows", NUM_ROWS),
    }
    for part in parts:
        for keys, values in part["layers"]:
            assert keys.shape[0] == values.shape[0] == len(part["numbers"])


@pytest.mark.parametrize("damaged", ["rows.pt", "000000.pt", "000004.pt"])
def test_damaged_notes_are_not_used(model, folder, passes, save_every, tmp_path, caplog, damaged):
    save_every(1)
    engine = _engine(model, folder)
    expected = list(engine.generate(_requests(), sampling=DRAWN))
    total = len(passes.logits)
    unfinished = Unfinished(tmp_path / "unfinished", on_saved=lambda: None)
    _interrupted(engine, DRAWN, unfinished, passes, stop_after=9)
    (file,) = unfinished.folder.rglob(damaged)
    file.write_bytes(file.read_bytes()[:-30])
    passes.logits.clear()
    assert list(engine.generate(_requests(), sampling=DRAWN, unfinished=unfinished)) == expected
    assert len(passes.logits) == total
    assert "is made again" in caplog.text


@pytest.mark.parametrize("interval", [2, 3, 7, 8])
def test_state_never_stands_beside_parts_of_another_run(
    model, folder, passes, save_every, tmp_path, monkeypatch, interval
):
    engine = _engine(model, folder)
    expected = list(engine.generate(_requests(), sampling=DRAWN))
    unfinished = Unfinished(tmp_path / "unfinished", on_saved=lambda: None)
    save_every(1)
    _interrupted(engine, DRAWN, unfinished, passes, stop_after=9)
    next(unfinished.folder.rglob("000000.pt")).unlink()
    # The next run begins anew, and is killed between its first parts and its state.
    save_every(interval)

    def killed(path, values):
        if path.name == "rows.pt":
            raise Stopped
        write_tensors(path, values)

    with monkeypatch.context() as patch:
        patch.setattr("sluice.engines.batch_notes.write_tensors", killed)
        with pytest.raises(Stopped):
            list(engine.generate(_requests(), sampling=DRAWN, unfinished=unfinished))
    assert list(engine.generate(_requests(), sampling=DRAWN, unfinished=unfinished)) == expected


def test_notes_of_another_precision_are_not_used(folder, save_every, model, passes, tmp_path):
    save_every(1)
    unfinished = Unfinished(tmp_path / "unfinished", on_saved=lambda: None)
    _interrupted(_engine(model, folder), DRAWN, unfinished, passes, stop_after=9)
    half = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).eval()
    other = _engine(half, folder)
    expected = list(other.generate(_requests(), sampling=DRAWN))
    assert list(other.generate(_requests(), sampling=DRAWN, unfinished=unfinished)) == expected


def test_notes_of_other_batches_are_not_used(model, folder, passes, save_every, tmp_path):
    save_every(1)
    engine = _engine(model, folder)
    unfinished = Unfinished(tmp_path / "unfinished", on_saved=lambda: None)
    others = [Request(request.messages, request.seed + 100) for request in _requests()]
    expected = list(engine.generate(others, sampling=DRAWN))
    total = len(passes.logits)
    _interrupted(engine, DRAWN, unfinished, passes, stop_after=9)
    passes.logits.clear()
    assert list(engine.generate(others, sampling=DRAWN, unfinished=unfinished)) == expected
    assert len(passes.logits) == total


def test_notes_of_the_batch_that_comes_next_survive_the_batches_that_are_done(
    model, folder, passes, save_every, tmp_path
):
    save_every(1)
    engine = TransformersEngine(model, load_tokenizer(folder), batch_size=NUM_ROWS // 2)
    expected = list(engine.generate(_requests(), sampling=DRAWN))
    total = len(passes.logits)
    path = tmp_path / "completions.jsonl"
    passes.logits.clear()
    passes.stop_after = total - 3
    with pytest.raises(Stopped):
        generate_all(engine, _requests(), sampling=DRAWN, notes_path=path)
    passes.stop_after = None
    passes.logits.clear()
    found, _ = generate_all(engine, _requests(), sampling=DRAWN, notes_path=path)
    assert found == [completion for _, completion in sorted(expected)]
    assert len(passes.logits) == 3


def test_seconds_of_an_interrupted_batch_count(model, folder, passes, save_every, tmp_path):
    save_every(1)
    path = tmp_path / "completions.jsonl"
    passes.stop_after = 9
    with pytest.raises(Stopped):
        generate_all(_engine(model, folder), _requests(), sampling=DRAWN, notes_path=path)
    with Notes(path) as notes:
        assert notes.completions == {}
        assert notes.seconds > 0
        spent = notes.seconds
    passes.stop_after = None
    _, seconds = generate_all(_engine(model, folder), _requests(), sampling=DRAWN, notes_path=path)
    assert seconds > spent


@pytest.fixture
def little_memory(passes, model, monkeypatch):
    """Memory runs out in the middle of a batch of more than six rows, as its cache grows."""
    forward = model.forward

    def limited(*args, **more):
        has_grown = more["attention_mask"].shape[-1] > more["input_ids"].shape[-1] + 8
        if len(more["input_ids"]) > 6 and has_grown:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return forward(*args, **more)

    monkeypatch.setattr(model, "forward", limited)


def test_halves_of_a_batch_are_noted_and_the_whole_is_not(
    model, folder, passes, save_every, little_memory, tmp_path
):
    save_every(1)
    engine = _engine(model, folder)
    expected = dict(engine.generate(_requests(), sampling=DRAWN))
    total = len(passes.logits)
    path = tmp_path / "completions.jsonl"
    for stop_after in (total - 30, total - 5):
        passes.logits.clear()
        passes.stop_after = stop_after
        with pytest.raises(Stopped):
            generate_all(engine, _requests(), sampling=DRAWN, notes_path=path)
        assert len(list((tmp_path / "unfinished").iterdir())) == 1
        passes.stop_after = None
        passes.logits.clear()
        found, _ = generate_all(engine, _requests(), sampling=DRAWN, notes_path=path)
        assert dict(enumerate(found)) == expected
        assert len(passes.logits) < total
        assert not (tmp_path / "unfinished").exists()
        path.unlink()


def test_notes_that_were_being_removed_do_not_stay(model, folder, tmp_path):
    engine = _engine(model, folder)
    unfinished = Unfinished(tmp_path / "unfinished", on_saved=lambda: None)
    (unfinished.folder / "of_a_batch").mkdir(parents=True)
    (unfinished.folder / "of_a_batch" / "000007.pt").write_bytes(b"")
    done = set(range(NUM_ROWS))
    answers = engine.generate(_requests(), sampling=DRAWN, skip=done, unfinished=unfinished)
    assert list(answers) == []
    assert not unfinished.folder.exists()


@pytest.fixture
def always_noted(monkeypatch):
    monkeypatch.setattr("sluice.engines.batch_notes.SAVE_EVERY_S", 0)
    monkeypatch.setattr("sluice.engines.batch_notes._PAUSE_PER_SAVE", 0)


SHAPE = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "eos_token_id": 2,
}
# Layers that use the tokens of others; frequencies by length.
GEMMA3N = {
    "sliding_window": 10,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 2,
    "vocab_size_per_layer_input": 300,
    "hidden_size_per_layer_input": 8,
    "intermediate_size": [96] * 4,
    "activation_sparsity_pattern": [0.0] * 4,
}
LONGROPE = {
    "original_max_position_embeddings": 20,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 8,
        "long_factor": [4.0] * 8,
        "original_max_position_embeddings": 20,
        "factor": 25.6,
    },
}


def _logits_and_words(model, *, unfinished=None, stop_after=None):
    """All logits of a batch and what it wrote, with notes where a folder is given."""
    prompts = [tuple(range(5, 5 + length)) for length in (3, 37, 20, 3)]
    batch = Batch([*prompts, prompts[1]], list(range(5)), [12] * 5, Sampling(1.0, 1.0, 12))
    logits = []
    with torch.inference_mode():
        rows = Rows(model, batch)
        notes = BatchNotes(unfinished) if unfinished else None
        if notes:
            notes.begin(batch, rows)
        for _ in range(stop_after or 10**9):
            if not rows.advance(frozenset([2])):
                break
            logits.append(rows.logits_BV)
            if notes:
                notes.save_if_due()
    return logits, rows.written


@pytest.mark.parametrize(
    ("kind", "more", "is_noted"),
    [("gemma3n_text", GEMMA3N, True), ("phi3", LONGROPE, False)],
)
def test_models_of_other_kinds_write_the_same_in_parts_and_after_an_interruption(
    tmp_path, monkeypatch, always_noted, kind, more, is_noted
):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SHAPE, **more})).eval()
    whole, _ = _logits_and_words(model)
    monkeypatch.setattr("sluice.engines.decoding._FLOP_OF_A_READING", {"cpu": 1.0})
    in_parts, words = _logits_and_words(model)
    assert len(in_parts) == len(whole) + (4 if is_noted else 0)
    torch.testing.assert_close(in_parts[-1], whole[-1], atol=1e-4, rtol=1e-4)
    unfinished = Unfinished(tmp_path / "unfinished", on_saved=lambda: None)
    _logits_and_words(model, unfinished=unfinished, stop_after=9)
    assert bool(list(unfinished.folder.rglob("rows.pt"))) == is_noted
    resumed, again = _logits_and_words(model, unfinished=unfinished)
    assert again == words
    assert torch.equal(resumed[-1], in_parts[-1])
    assert len(resumed) == len(in_parts) - (9 if is_noted else 0)


def test_a_model_with_an_adapter_goes_on_bit_for_bit(folder, tmp_path, always_noted):
    from peft import LoraConfig, get_peft_model

    base = AutoModelForCausalLM.from_pretrained(folder)
    adapted = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj"])).eval()
    expected, words = _logits_and_words(adapted)
    unfinished = Unfinished(tmp_path / "unfinished", on_saved=lambda: None)
    _logits_and_words(adapted, unfinished=unfinished, stop_after=6)
    resumed, again = _logits_and_words(adapted, unfinished=unfinished)
    assert again == words
    assert torch.equal(resumed[-1], expected[-1])
    assert len(resumed) == len(expected) - 6

"""A batch that is interrupted in its middle goes on there, and gives the very same completions."""

import random
from types import SimpleNamespace

import pytest
import torch
from tiny_models import write_tiny_checkpoint
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from sluice.chat import load_tokenizer
from sluice.engines.engine import Request, Sampling, Unfinished
from sluice.engines.notes import Notes, generate_all
from sluice.engines.transformers_engine import TransformersEngine
from sluice.records import Message

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
    state = SimpleNamespace(logits=[], stop_after=None)
    forward = model.forward

    def watched(*args, **more):
        if len(state.logits) == state.stop_after:
            raise Stopped
        output = forward(*args, **more)
        state.logits.append(output.logits[:, -1].clone())
        return output

    monkeypatch.setattr(model, "forward", watched)
    return state


@pytest.fixture
def save_every(monkeypatch):
    """A clock that ticks once a look: notes are taken at every n-th advance."""

    def set_interval(ticks):
        clock = iter(range(10**9))
        monkeypatch.setattr(
            "sluice.engines.batch_notes.time", SimpleNamespace(monotonic=lambda: next(clock))
        )
        monkeypatch.setattr("sluice.engines.batch_notes.SAVE_EVERY_S", ticks)

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


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("interval", [1, 3, 8])
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
    first, second = (torch.load(path) for path in sorted(unfinished.folder.glob("*/0*.pt")))
    assert (first["of"], first["numbers"]) == ("prompts", [0, 1, 2, 3])
    assert (second["of"], second["numbers"]) == ("rows", list(range(NUM_ROWS)))
    for layer in (each for each in first["layers"] if each):
        assert {tensor.shape[0] for tensor in layer} == {4}


@pytest.mark.parametrize("damaged", ["rows.pt", "000000.pt", "000002.pt"])
def test_damaged_notes_are_not_used(model, folder, passes, save_every, tmp_path, caplog, damaged):
    save_every(1)
    engine = _engine(model, folder)
    expected = list(engine.generate(_requests(), sampling=DRAWN))
    total = len(passes.logits)
    unfinished = Unfinished(tmp_path / "unfinished", on_saved=lambda: None)
    _interrupted(engine, DRAWN, unfinished, passes, stop_after=9)
    (file,) = unfinished.folder.rglob(damaged)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    passes.logits.clear()
    assert list(engine.generate(_requests(), sampling=DRAWN, unfinished=unfinished)) == expected
    assert len(passes.logits) == total
    assert "is made again" in caplog.text


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


def test_a_batch_that_the_memory_does_not_hold_leaves_no_notes(
    model, folder, save_every, tmp_path, monkeypatch
):
    save_every(1)
    engine = _engine(model, folder)
    expected = dict(engine.generate(_requests(), sampling=DRAWN))
    forward, drawn = model.forward, random.Random(0)

    def limited(*args, **more):
        # Memory runs out in the middle of a batch, as its cache grows.
        if len(more["input_ids"]) > 6 and drawn.random() < 0.2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return forward(*args, **more)

    monkeypatch.setattr(model, "forward", limited)
    unfinished = Unfinished(tmp_path / "unfinished", on_saved=lambda: None)
    found = dict(engine.generate(_requests(), sampling=DRAWN, unfinished=unfinished))
    assert found.keys() == expected.keys()
    assert not unfinished.folder.exists()

"""Bits per byte against a reference written out token by token, and what must not change them."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from texts_for_loss import DIALOGUE, TEXTS, write_checkpoint
from tiny_models import byte_tokenizer, sentencepiece_tokenizer
from torch import nn
from transformers import AutoModelForCausalLM

from sluice.base_loss.documents import encode_split
from sluice.base_loss.losses import describe_loss, nats_by_document
from sluice.base_loss.ranks import Ranks
from sluice.base_loss.scoring import score_windows
from sluice.base_loss.windows import plan_windows
from sluice.chat import load_tokenizer
from sluice.errors import DeviceError, ScoringError
from sluice.records import Message
from sluice.sealed_lines import read_sealed
from sluice.texts import Document
from sluice.token_bytes import token_bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def model(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


def _plain(texts=TEXTS):
    return [Document(f"text {n}", text) for n, text in enumerate(texts)]


def _dialogue():
    return Document("dialogue", "", tuple(Message(**message) for message in DIALOGUE))


def _encode(tokenizer, documents, **changes):
    options = {"dialogues": "responses", "split_tokens": None, **changes}
    return encode_split(documents, tokenizer=tokenizer, table=token_bytes(tokenizer), **options)


def _loss(model, split, notes, *, max_seq_len=2048, stride=None, batch_size=4, ranks=None):
    lengths = [len(document.ids_T) for document in split.documents]
    windows = plan_windows(lengths, max_seq_len=max_seq_len, stride=stride or max_seq_len)
    notes.mkdir(exist_ok=True)
    nats_W = score_windows(
        model,
        split.documents,
        windows,
        batch_size=batch_size,
        notes=notes,
        ranks=ranks or Ranks(),
    )
    nats_N = nats_by_document(nats_W, windows, num_documents=len(lengths))
    return describe_loss(nats_N, split.documents, seed=1)


def _reference(model, tokenizer, texts, *, max_seq_len=10**9, stride=10**9):
    """Nats and bytes of plain texts, token by token, each behind its own context alone."""
    nats = num_bytes = 0.0
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        ids = [tokenizer.convert_tokens_to_ids("<|endoftext|>"), *ids]
        for place in range(1, len(ids)):
            end = max_seq_len + 1
            while place >= end:
                end += stride
            start = max(0, min(end, len(ids)) - 1 - max_seq_len)
            with torch.no_grad():
                logits = model(torch.tensor([ids[start:place]])).logits[0, -1]
            nats -= logits.double().log_softmax(-1)[ids[place]].item()
        num_bytes += len(text.encode())
    return nats / math.log(2) / num_bytes


def test_bits_per_byte_are_those_of_the_reference(model, tokenizer, tmp_path):
    found = _loss(model, _encode(tokenizer, _plain()), tmp_path / "notes")
    assert found["bits_per_byte"] == pytest.approx(_reference(model, tokenizer, TEXTS), rel=1e-6)
    assert found["num_bytes"] == sum(len(text.encode()) for text in TEXTS)


@pytest.mark.parametrize(("max_seq_len", "stride"), [(16, 16), (16, 5), (1, 1)])
def test_long_documents_in_windows_are_those_of_the_reference(
    model, tokenizer, tmp_path, max_seq_len, stride
):
    sizes = {"max_seq_len": max_seq_len, "stride": stride}
    texts = [TEXTS[1], TEXTS[3]]
    found = _loss(model, _encode(tokenizer, _plain(texts)), tmp_path / "notes", **sizes)
    expected = _reference(model, tokenizer, texts, **sizes)
    assert found["bits_per_byte"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("max_seq_len", "stride"), [(16, 16), (16, 5), (3, 2), (1, 1), (99, 99)])
def test_windows_predict_every_token_once_and_never_read_too_much(max_seq_len, stride):
    lengths = [0, 1, 2, 16, 17, 18, 33, 100]
    windows = plan_windows(lengths, max_seq_len=max_seq_len, stride=stride)
    predicted = [(w.document, t) for w in windows for t in range(w.first_target, w.end)]
    assert predicted == [(d, t) for d, length in enumerate(lengths) for t in range(1, length)]
    for window in windows:
        assert 1 <= window.num_inputs <= max_seq_len
        assert 0 <= window.start < window.first_target


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batch_size_and_padding_change_nothing(model, tokenizer, tmp_path, batch_size):
    split = _encode(tokenizer, _plain())
    expected = _loss(model, split, tmp_path / "a", max_seq_len=20)
    found = _loss(model, split, tmp_path / "b", max_seq_len=20, batch_size=batch_size)
    assert found["bits_per_byte"] == pytest.approx(expected["bits_per_byte"], rel=1e-6)


def test_order_of_documents_changes_nothing(model, tokenizer, tmp_path):
    expected = _loss(model, _encode(tokenizer, _plain()), tmp_path / "a")
    found = _loss(model, _encode(tokenizer, _plain(TEXTS[::-1])), tmp_path / "b")
    assert found["bits_per_byte"] == pytest.approx(expected["bits_per_byte"], rel=1e-6)
    assert found["interval_95"] == pytest.approx(expected["interval_95"], rel=1e-5)


def test_other_documents_do_not_change_a_documents_nats(model, tokenizer, tmp_path):
    together = _loss(model, _encode(tokenizer, _plain()), tmp_path / "all")["nats"]
    alone = [
        _loss(model, _encode(tokenizer, _plain([text])), tmp_path / str(n))["nats"]
        for n, text in enumerate(TEXTS)
    ]
    assert together == pytest.approx(sum(alone), rel=1e-6)


def test_processes_that_share_the_batches_have_the_same_bits(model, tokenizer, tmp_path):
    split = _encode(tokenizer, _plain())
    expected = _loss(model, split, tmp_path / "one", max_seq_len=9, batch_size=3)
    parts = []

    class Part(Ranks):
        def sum(self, values):
            parts.append(values)
            return values

        def wait(self):
            pass

    for rank in range(3):
        _loss(
            model, split, tmp_path / f"part{rank}", max_seq_len=9, batch_size=3,
            ranks=Part(rank, 3),
        )  # fmt: skip
    total = np.sum(parts, axis=0)
    windows = plan_windows([len(d.ids_T) for d in split.documents], max_seq_len=9, stride=9)
    nats_N = nats_by_document(total, windows, num_documents=len(split.documents))
    assert describe_loss(nats_N, split.documents, seed=1) == expected
    assert all((a * b == 0).all() for a, b in pairwise(parts))


def test_special_tokens_count_neither_nats_nor_bytes(model, tokenizer, tmp_path):
    """A dialogue: the responses' own tokens, behind all that the template puts before them."""
    split = _encode(tokenizer, [_dialogue()])
    found = _loss(model, split, tmp_path / "notes")
    text = tokenizer.apply_chat_template(DIALOGUE, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    turns = [i for i, token in enumerate(ids) if token == tokenizer.eos_token_id]
    with torch.no_grad():
        nats_T = -model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    expected, num_bytes = 0.0, 0
    for turn, message in ((1, DIALOGUE[1]), (3, DIALOGUE[3])):
        response = tokenizer(message["content"], add_special_tokens=False)["input_ids"]
        start = turns[turn] - len(response)
        assert ids[start : turns[turn]] == response
        expected += sum(nats_T[p - 1, ids[p]].item() for p in range(start, turns[turn]))
        num_bytes += len(message["content"].encode())
    assert found["num_bytes"] == num_bytes
    assert found["nats"] == pytest.approx(expected, rel=1e-6)
    assert found["interval_95"] is None


def test_a_dialogue_as_text_is_the_contents_of_its_messages(model, tokenizer, tmp_path):
    whole = "\n\n".join(message["content"] for message in DIALOGUE)
    dialogue = Document("dialogue", whole, _dialogue().messages)
    found = _loss(model, _encode(tokenizer, [dialogue], dialogues="text"), tmp_path / "a")
    assert found == _loss(model, _encode(tokenizer, _plain([whole])), tmp_path / "b")


class _UniformOverBytes(nn.Module):
    """Every byte token is equally likely, and no other token ever comes."""

    def __init__(self, table):
        super().__init__()
        bytes_V = torch.tensor([entry is not None and len(entry) == 1 for entry in table])
        self.logits_V = torch.where(bytes_V, 0.0, -torch.inf)
        self.device = torch.device("cpu")

    def forward(self, input_ids, attention_mask, use_cache):
        logits = self.logits_V.expand(*input_ids.shape, -1)
        return type("Output", (), {"logits": logits})


def test_a_uniform_model_over_bytes_has_eight_bits_per_byte(tmp_path):
    tokenizer = byte_tokenizer()
    model = _UniformOverBytes(token_bytes(tokenizer))
    found = _loss(model, _encode(tokenizer, _plain()), tmp_path / "notes", max_seq_len=10)
    assert found["bits_per_byte"] == pytest.approx(8, abs=1e-6)
    assert found["interval_95"] == pytest.approx([8, 8], abs=1e-6)


@pytest.mark.parametrize("kind", ["bytes", "trained", "sentencepiece"])
def test_uniform_nats_give_eight_bits_per_byte_whatever_the_vocabulary(tokenizer, kind):
    """Model-free: a text costs ln 256 nats a byte, however its bytes are cut into tokens."""
    known = {"bytes": byte_tokenizer(), "trained": tokenizer}
    chosen = known.get(kind) or sentencepiece_tokenizer()
    split = _encode(chosen, _plain())
    nats_N = np.array([len(text.encode()) * math.log(256) for text in TEXTS])
    found = describe_loss(nats_N, split.documents, seed=1)
    assert found["bits_per_byte"] == pytest.approx(8, abs=1e-12)
    assert found["interval_95"] == pytest.approx([8, 8], abs=1e-9)
    assert split.num_changed == 0


def test_documents_are_taken_until_they_have_the_tokens_asked_for(tokenizer):
    lengths = [len(document.ids_T) for document in _encode(tokenizer, _plain()).documents]
    for split_tokens, count in ((1, 1), (lengths[0], 1), (lengths[0] + 1, 2), (10**6, 6)):
        split = _encode(tokenizer, _plain(), split_tokens=split_tokens)
        assert len(split.documents) == count


def test_what_lies_behind_the_tokens_asked_for_is_never_read(tokenizer):
    def documents():
        yield from _plain(TEXTS[:1])
        raise AssertionError("read too far")

    assert len(_encode(tokenizer, documents(), split_tokens=5).documents) == 1


def test_text_without_anything_to_count_is_an_error(tokenizer):
    user = Document("d", "Hi", (Message(role="user", content="Hi"),))
    for documents in ([], [user]):
        with pytest.raises(ScoringError, match="can be counted"):
            _encode(tokenizer, documents)


class _Counting(nn.Module):
    """A model that stops after some forward passes, as a killed process does."""

    def __init__(self, model, *, limit):
        super().__init__()
        self.model, self.device = model, model.device
        self.limit, self.num_passes = limit, 0

    def forward(self, **inputs):
        if self.num_passes == self.limit:
            raise KeyboardInterrupt
        self.num_passes += 1
        return self.model(**inputs)


@pytest.mark.parametrize("is_torn", [False, True])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bits(
    model, tokenizer, tmp_path, is_torn
):
    split = _encode(tokenizer, _plain())
    sizes = {"max_seq_len": 9, "batch_size": 3}
    expected = _loss(model, split, tmp_path / "whole", **sizes)
    with pytest.raises(KeyboardInterrupt):
        _loss(_Counting(model, limit=4), split, tmp_path / "notes", **sizes)
    (file,) = (tmp_path / "notes").iterdir()
    num_noted = 4
    if is_torn:
        file.write_bytes(file.read_bytes()[:-5])
        num_noted = 3
    rest = _Counting(model, limit=10**6)
    assert _loss(rest, split, tmp_path / "notes", **sizes) == expected
    num_batches = len((tmp_path / "whole" / "nats.0.jsonl").read_bytes().splitlines())
    assert rest.num_passes == num_batches - num_noted
    assert len(list(read_sealed(file))) == len(file.read_bytes().splitlines())


def test_a_loss_that_is_not_finite_is_an_error(model, tokenizer, tmp_path):
    broken = _UniformOverBytes(token_bytes(tokenizer))
    broken.logits_V = torch.full_like(broken.logits_V, torch.nan)
    with pytest.raises(ScoringError, match="not finite"):
        _loss(broken, _encode(tokenizer, _plain()), tmp_path / "notes")


class _Small(_Counting):
    """A model on a device that holds one window of so many tokens."""

    def forward(self, **inputs):
        if inputs["input_ids"].numel() > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.model(**inputs)


def test_windows_that_do_not_fit_together_are_scored_in_parts(model, tokenizer, tmp_path):
    split = _encode(tokenizer, _plain())
    found = _loss(_Small(model, limit=18), split, tmp_path / "a", max_seq_len=9, batch_size=4)
    expected = _loss(model, split, tmp_path / "b", max_seq_len=9, batch_size=2)
    assert found["nats"] == pytest.approx(expected["nats"], rel=1e-6)
    assert found["num_tokens"] == expected["num_tokens"]


def test_window_that_does_not_fit_is_an_error_that_says_what_to_lower(model, tokenizer, tmp_path):
    with pytest.raises(DeviceError, match="does not hold one of the windows") as caught:
        _loss(_Small(model, limit=8), _encode(tokenizer, _plain()), tmp_path / "n", max_seq_len=9)
    assert "max_seq_len" in caught.value.hint

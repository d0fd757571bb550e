"""Bytes of tokens: byte-level, sentencepiece with byte fallback, vocabularies of bytes."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import byte_tokenizer, sentencepiece_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from sluice.errors import ModelError
from sluice.texts import Document
from sluice.token_bytes import document_bytes, token_bytes
from sluice.tokenizer.training import train_tokenizer

HOSTILE = ["合计：24+3=23。 🙃🏳️‍🌈", "e\u0301 é ﬁ", "\x00 \ufffd a\r\n\t", " the  the", "the"]


def _trained():
    documents = [Document("x", text) for text in HOSTILE * 3]
    return PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(documents, vocab_size=300),
        additional_special_tokens=["<|im_start|>"],
    )


TOKENIZERS = {
    "bytes": byte_tokenizer(),
    "byte-level": _trained(),
    "sentencepiece": sentencepiece_tokenizer(),
}
TABLES = {name: token_bytes(tokenizer) for name, tokenizer in TOKENIZERS.items()}


def _encode(name, text):
    tokenizer = TOKENIZERS[name]
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


# Sentencepiece takes its own mark of a space for a space; see below.
_TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\u2581"), max_size=40
) | st.sampled_from(HOSTILE)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=_TEXTS)
def test_bytes_of_a_texts_tokens_are_the_texts(name, text):
    ids = _encode(name, text)
    counts, is_same = document_bytes(ids, TABLES[name], text=text)
    assert is_same
    assert sum(counts) == len(text.encode())


def test_a_token_of_part_of_a_character_has_its_own_bytes_not_those_of_the_replacement():
    ids = _encode("bytes", "合")
    assert [TABLES["bytes"][index] for index in ids] == [b"\xe5", b"\x90", b"\x88"]
    inflated = sum(len(TOKENIZERS["bytes"].decode([index]).encode()) for index in ids)
    assert inflated == 9  # what decoding one by one would count for 3 bytes


def test_byte_fallback_tokens_are_one_byte_each():
    ids = _encode("sentencepiece", "the合")
    counts, _ = document_bytes(ids, TABLES["sentencepiece"], text="the合")
    assert counts == [3, 1, 1, 1]  # the space that sentencepiece puts before is taken off


def test_special_tokens_have_no_bytes():
    tokenizer = TOKENIZERS["byte-level"]
    for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"):
        assert TABLES["byte-level"][tokenizer.convert_tokens_to_ids(token)] is None
    table = TABLES["sentencepiece"]
    assert [table[index] for index in range(3)] == [None, None, None]


def test_added_tokens_that_are_not_special_are_the_text_that_they_stand_for():
    tokenizer = TOKENIZERS["byte-level"]
    assert TABLES["byte-level"][tokenizer.convert_tokens_to_ids("<think>")] == b"<think>"


def test_a_vocabulary_of_bytes_is_taken_as_it_is():
    tokenizer = SimpleNamespace(
        get_vocab=lambda: {b"\xe5\x90": 1, b"a": 0, "<end>": 2},
        added_tokens_decoder={},
        all_special_ids=[2],
    )
    assert token_bytes(tokenizer) == [b"a", b"\xe5\x90", None]


def test_a_changed_text_is_noticed():
    ids = _encode("bytes", "the")
    assert document_bytes(ids, TABLES["bytes"], text="thé")[1] is False
    counts, is_same = document_bytes(
        _encode("sentencepiece", "\u2581a"), TABLES["sentencepiece"], text="\u2581a"
    )
    assert (sum(counts), is_same) == (3, False)


def test_tokens_of_an_unknown_form_are_an_error():
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "the": 1}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(ModelError, match="cannot be told"):
        token_bytes(PreTrainedTokenizerFast(tokenizer_object=backend))

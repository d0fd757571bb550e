"""Documents -> files of tokens: what is in them, who is held out, and going on after a kill."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from base_models_for_tests import documents, write_documents
from tiny_models import byte_tokenizer

from sluice.base import tokenizing
from sluice.base.corpus import begin_token_id, read_corpus, token_type
from sluice.base.tokenizing import CorpusWriter, tokenize_corpus
from sluice.errors import DataError, ModelError
from sluice.settings.base_model import TokenizeCorpus

TEXTS = list(documents(60))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    byte_tokenizer().save_pretrained(folder)
    return folder


def tokenise(folder, tokenizer, *, text, heldout_text=(), share=0.0, seed=42):
    tokenize_corpus(
        TokenizeCorpus(heldout_share=share, seed=seed),
        text=text,
        heldout_text=list(heldout_text),
        tokenizer_folder=tokenizer,
        output=folder / "corpus",
        state_root=folder / "state",
    )
    return folder / "corpus"


def texts_of(split):
    """The documents' texts, each checked to begin with the begin token."""
    backend = byte_tokenizer()
    begin = backend.convert_tokens_to_ids("<|endoftext|>")
    found = [split.document(number).tolist() for number in range(split.num_documents)]
    assert all(each[0] == begin for each in found)
    return [backend.decode(each[1:]) for each in found]


def test_documents_are_found_again_in_their_order(tmp_path, tokenizer):
    corpus = read_corpus(
        tokenise(tmp_path, tokenizer, text=[write_documents(tmp_path / "t.jsonl", TEXTS)])
    )
    assert texts_of(corpus.train) == TEXTS
    assert corpus.held_out.num_documents == 0
    assert corpus.train.lengths.tolist() == [1 + len(text.encode()) for text in TEXTS]


def test_every_form_of_text_gives_the_same_tokens(tmp_path, tokenizer):
    shards = tmp_path / "shards"
    shards.mkdir()
    for number in range(3):
        part = TEXTS[number * 20 : (number + 1) * 20]
        pq.write_table(pa.table({"text": part}), shards / f"shard_{number:05d}.parquet")
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(lines))
    first, second = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (
            tokenise(tmp_path / "of_shards", tokenizer, text=[shards]),
            tokenise(tmp_path / "of_lines", tokenizer, text=[tmp_path / "t.jsonl.gz"]),
        )
    )
    assert first == second


def test_held_out_documents_are_a_seeded_share(tmp_path, tokenizer):
    path = write_documents(tmp_path / "t.jsonl", TEXTS)
    corpus = read_corpus(tokenise(tmp_path / "a", tokenizer, text=[path], share=0.25))
    train, held_out = texts_of(corpus.train), texts_of(corpus.held_out)
    assert 5 <= len(held_out) <= 25
    assert sorted(train + held_out) == sorted(TEXTS)
    other = read_corpus(tokenise(tmp_path / "b", tokenizer, text=[path], share=0.25, seed=1))
    assert texts_of(other.held_out) != held_out


def test_held_out_text_of_ones_own_is_all_that_is_held_out(tmp_path, tokenizer):
    train = write_documents(tmp_path / "t.jsonl", TEXTS[:50])
    held_out = write_documents(tmp_path / "h.jsonl", TEXTS[50:])
    corpus = read_corpus(
        tokenise(tmp_path, tokenizer, text=[train], heldout_text=[held_out], share=0.5)
    )
    assert texts_of(corpus.train) == TEXTS[:50]
    assert texts_of(corpus.held_out) == TEXTS[50:]


def test_a_special_token_in_a_text_is_text(tmp_path, tokenizer):
    text = "one<|endoftext|>two<|im_end|>"
    path = write_documents(tmp_path / "t.jsonl", [text])
    corpus = read_corpus(tokenise(tmp_path, tokenizer, text=[path]))
    assert len(corpus.train.tokens) == 1 + len(text)
    assert texts_of(corpus.train) == [text]


def test_description_counts_documents_tokens_and_bytes(tmp_path, tokenizer):
    path = write_documents(tmp_path / "t.jsonl", ["春天", "ab"])
    about = json.loads((tokenise(tmp_path, tokenizer, text=[path]) / "corpus.json").read_text())
    expected = {"num_documents": 2, "num_tokens": 2 + 6 + 2, "num_bytes": 6 + 2}
    assert about["splits"]["train"] == expected
    assert about["splits"]["heldout"] == dict.fromkeys(expected, 0)
    assert about["dtype"] == "<u2"


class _KilledError(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, tokenizer, monkeypatch):
    """Killed after the third batch, with a note after the first two; the third is written anew."""
    path = write_documents(tmp_path / "t.jsonl", TEXTS)
    whole = tokenise(tmp_path / "whole", tokenizer, text=[path], share=0.3)
    monkeypatch.setattr(tokenizing, "_BATCH_CHARS", 1000)
    monkeypatch.setattr(tokenizing, "_NOTE_CHARS", 2000)
    append = CorpusWriter._append
    sizes = []

    def killed_in_the_fourth_batch(self, batch):
        if len(sizes) == 3:
            sizes.append(0)
            raise _KilledError
        sizes.append(len(batch))
        append(self, batch)

    monkeypatch.setattr(CorpusWriter, "_append", killed_in_the_fourth_batch)
    with pytest.raises(_KilledError):
        tokenise(tmp_path / "killed", tokenizer, text=[path], share=0.3)
    assert not (tmp_path / "killed/corpus").exists()
    resumed = tokenise(tmp_path / "killed", tokenizer, text=[path], share=0.3)
    assert sum(sizes[4:]) == len(TEXTS) - sum(sizes[:2])
    assert {each.name: each.read_bytes() for each in resumed.iterdir()} == {
        each.name: each.read_bytes() for each in whole.iterdir()
    }


def test_files_shorter_than_the_note_says_are_begun_anew(tmp_path):
    backend = byte_tokenizer()
    writer = CorpusWriter(tmp_path, backend)
    writer.write(iter([("train", "abc"), ("train", "de")]))
    (tmp_path / "train.tokens").write_bytes(b"\0\0")
    assert CorpusWriter(tmp_path, backend).num_documents == 0
    assert (tmp_path / "train.ends").stat().st_size == 0


def test_nothing_to_train_on_is_an_error(tmp_path, tokenizer):
    path = write_documents(tmp_path / "t.jsonl", ["", ""])
    with pytest.raises(DataError, match="no document is left to train on"):
        tokenise(tmp_path, tokenizer, text=[path])


def test_a_corpus_that_was_cut_off_is_an_error(tmp_path, tokenizer):
    path = write_documents(tmp_path / "t.jsonl", TEXTS)
    corpus = tokenise(tmp_path, tokenizer, text=[path])
    with open(corpus / "train.tokens", "r+b") as stream:
        stream.truncate(100)
    with pytest.raises(DataError, match=r"train\.tokens has 100 bytes"):
        read_corpus(corpus)


def test_a_folder_without_a_description_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"corpus\.json does not exist"):
        read_corpus(tmp_path)
    (tmp_path / "corpus.json").write_text("{}")
    with pytest.raises(DataError, match="describes no tokenised corpus"):
        read_corpus(tmp_path)


def test_ids_take_two_bytes_where_the_vocabulary_allows_it():
    assert token_type(65_536) == np.uint16
    assert token_type(65_537) == np.uint32


def test_documents_begin_with_bos_or_end_of_text_or_the_end_token():
    tokenizer = byte_tokenizer()
    assert begin_token_id(tokenizer) == tokenizer.convert_tokens_to_ids("<|endoftext|>")
    tokenizer.bos_token = "<|im_start|>"
    assert begin_token_id(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_start|>")


def test_a_tokenizer_without_such_a_token_is_an_error():
    class Bare:
        bos_token_id = eos_token_id = None

        def get_vocab(self):
            return {"a": 0}

    with pytest.raises(ModelError, match="no token that could begin a document"):
        begin_token_id(Bare())

"""Training on text from the file to the model: real web text, tokenizers of any kind."""

import json

from base_models_for_tests import TINY_PACKED
from tiny_models import byte_tokenizer

from sluice.base.building import build_base_model
from sluice.base.tokenizing import tokenize_corpus
from sluice.settings.base_model import TokenizeCorpus
from sluice.texts import read_documents
from sluice.tokenizer.training import train_tokenizer, write_tokenizer


def train_on(text, folder, **changes):
    """From a file of text and folder/tokenizer to folder/final_model; returns the log."""
    tokenize_corpus(
        TokenizeCorpus(heldout_share=0.05),
        text=[text],
        heldout_text=[],
        tokenizer_folder=folder / "tokenizer",
        output=folder / "corpus",
        state_root=folder / "state",
    )
    build_base_model(
        TINY_PACKED.model_copy(update=changes),
        corpus_folder=folder / "corpus",
        tokenizer_folder=folder / "tokenizer",
        output=folder / "final_model",
        log_path=folder / "log.json",
        state_root=folder / "state",
    )
    return json.loads((folder / "log.json").read_text())


def test_real_web_text_goes_through(tmp_path, shared_data):
    """300 documents of C4: after a few steps the model is better than chance."""
    text = shared_data / "text/c4_demo.jsonl"
    tokenizer = train_tokenizer(read_documents([text], max_chars=200_000), vocab_size=512)
    write_tokenizer(tokenizer, chat_template="", folder=tmp_path / "tokenizer")
    wider = {"hidden_size": 64, "intermediate_size": 128, "sequence_length": 64, "batch_size": 8}
    log = train_on(text, tmp_path, **wider, num_steps=20, eval_every=10, schedule="wsd")
    about = json.loads((tmp_path / "corpus/corpus.json").read_text())["splits"]
    assert about["train"]["num_documents"] + about["heldout"]["num_documents"] == 300
    assert log["eval_steps"] == [10, 20]
    assert log["eval_bits_per_byte"][1] < log["eval_bits_per_byte"][0]
    # A byte drawn at random has 8 bits; these tokens hold more than one byte each.
    assert 2 < log["eval_bits_per_byte"][1] < 8
    assert log["losses"][-1] < 0.9 * log["losses"][0]


def test_a_tokenizer_without_chat_template_will_do_for_text(inputs, tmp_path):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    assert len(train_on(inputs / "text.jsonl", tmp_path)["losses"]) == TINY_PACKED.num_steps

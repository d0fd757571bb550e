"""Fixtures of the base stage's tests: a tokenizer folder, samples, a tokenised corpus."""

import pytest
from base_models_for_tests import documents, samples, write_documents
from tiny_models import byte_tokenizer

from sluice.base.tokenizing import tokenize_corpus
from sluice.records import write_samples
from sluice.settings.base_model import TokenizeCorpus


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """A folder with corpus.jsonl (samples), text.jsonl (documents), tokenizer/ and corpus/."""
    folder = tmp_path_factory.mktemp("inputs")
    write_samples(folder / "corpus.jsonl", samples())
    byte_tokenizer().save_pretrained(folder / "tokenizer")
    tokenize_corpus(
        TokenizeCorpus(heldout_share=0.2),
        text=[write_documents(folder / "text.jsonl", documents(40))],
        heldout_text=[],
        tokenizer_folder=folder / "tokenizer",
        output=folder / "corpus",
        state_root=folder / "state",
    )
    return folder

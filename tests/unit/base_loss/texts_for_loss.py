"""A tiny random model with a trained tokenizer, and texts, for the tests of this folder."""

import json

from support import ROOT
from tiny_models import write_tiny_checkpoint

from sluice.texts import Document
from sluice.tokenizer.training import train_tokenizer, write_tokenizer

TEXTS = [
    "The ferry sails at ten, and again at twelve. " * 2,
    "合计：24+3-4=23。你好，🙃🏳️‍🌈世界",
    "a",
    "one <|im_end|> two <think>three</think>",
    "Ωmega é e\u0301 \x00 tab\tline\r\n" * 3,
    "The end.",
]
DIALOGUE = [
    {"role": "user", "content": "How much is 12+30?"},
    {"role": "assistant", "content": "<think>12+30=42</think>It is 42, 你好."},
    {"role": "user", "content": "Thanks!"},
    {"role": "assistant", "content": "Any time."},
]


def write_checkpoint(folder):
    """A random Qwen3 of two layers with a tokenizer of 330 tokens."""
    write_tiny_checkpoint(folder, vocab_size=330)
    documents = [Document("x", text) for text in TEXTS * 3]
    template = (ROOT / "resources/tokenizer/chat_template.jinja").read_text()
    trained = train_tokenizer(documents, vocab_size=330)
    write_tokenizer(trained, chat_template=template, folder=folder)
    return folder


def write_texts(folder):
    """Two files of text: plain documents, and a dialogue."""
    folder.mkdir(exist_ok=True)
    rows = [{"text": text} for text in TEXTS]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "heldout.jsonl").write_text(json.dumps({"messages": DIALOGUE}) + "\n")
    (folder / "prompts.txt").write_text("The ferry\n\nOne 你\n")
    return folder

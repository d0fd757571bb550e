"""Trains the built-in model's tokenizer: byte-level BPE with chat and think tokens.

Example:
    python workflow_scripts/train_tokenizer.py --samples results/demo/base_corpus.jsonl \
        --chat-template resources/tokenizer/chat_template.jinja --folder results/tokenizer/base
"""

from pathlib import Path

from sluice.cli import run
from sluice.records import read_samples
from sluice.settings.tokenizer import TrainTokenizer


class Arguments(TrainTokenizer):
    """Train a tokenizer on the text of canonical samples."""

    samples: Path
    """Canonical samples, JSONL."""
    chat_template: Path = Path("resources/tokenizer/chat_template.jinja")
    """Jinja chat template that goes with the tokenizer."""
    folder: Path
    """Folder for tokenizer.json, tokenizer_config.json and chat_template.jinja."""


def main(arguments: Arguments) -> None:
    """Reads samples, trains, writes the folder."""
    from sluice.tokenizer.training import train_tokenizer, write_tokenizer

    tokenizer = train_tokenizer(read_samples(arguments.samples), vocab_size=arguments.vocab_size)
    write_tokenizer(
        tokenizer,
        chat_template=arguments.chat_template.read_text(encoding="utf-8"),
        folder=arguments.folder,
    )


if __name__ == "__main__":
    run(Arguments, main)

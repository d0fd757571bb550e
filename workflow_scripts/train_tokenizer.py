"""Trains a tokenizer: byte-level BPE with chat and think tokens.

Examples:
    python workflow_scripts/train_tokenizer.py --samples results/demo/base_corpus.jsonl \
        --folder results/tokenizer/base
    python workflow_scripts/train_tokenizer.py --text shards/ --vocab-size 32768 \
        --max-chars 2000000000 --doc-cap 10000 --folder results/tokenizer/web
"""

from pathlib import Path

from sluice.cli import run
from sluice.errors import ConfigError
from sluice.files import read_text
from sluice.settings.tokenizer import TrainTokenizer


class Arguments(TrainTokenizer):
    """Train a tokenizer on any text. Give --text or --samples."""

    text: tuple[Path, ...] = ()
    """JSONL ('text' or 'messages'), Parquet, txt, folders of these, also .gz or .zst."""
    samples: Path | None = None
    """Canonical samples, JSONL."""
    chat_template: Path = Path("resources/tokenizer/chat_template.jinja")
    """Jinja chat template that goes with the tokenizer."""
    folder: Path
    """Folder for tokenizer.json, tokenizer_config.json and chat_template.jinja."""


def main(arguments: Arguments) -> None:
    """Streams the text, trains, writes the folder."""
    from sluice.texts import read_documents
    from sluice.tokenizer.training import train_tokenizer, write_tokenizer

    paths = [*arguments.text, *([arguments.samples] if arguments.samples else [])]
    if not paths:
        raise ConfigError("there is no text to train on", expected="--text or --samples")
    tokenizer = train_tokenizer(
        read_documents(paths, max_chars=arguments.max_chars, doc_cap=arguments.doc_cap),
        vocab_size=arguments.vocab_size,
        special_tokens=arguments.special_tokens,
        split_pattern=arguments.split_pattern,
    )
    write_tokenizer(
        tokenizer,
        chat_template=read_text(arguments.chat_template),
        folder=arguments.folder,
        special_tokens=arguments.special_tokens,
    )


if __name__ == "__main__":
    run(Arguments, main)

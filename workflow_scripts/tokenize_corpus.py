"""Tokenises text of any source for packed training: files of token ids, documents held out.

Example:
    python workflow_scripts/tokenize_corpus.py --text shards/ --tokenizer results/tokenizer/d20 \
        --output results/base/d20/tokens
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.base_model import TokenizeCorpus


class Arguments(TokenizeCorpus):
    """Tokenise documents, and hold some of them out."""

    text: tuple[Path, ...]
    """Files or folders of JSONL (`text`), Parquet (`text`) or plain text, also .gz or .zst."""
    tokenizer: Path
    """Tokenizer folder, from train_tokenizer.py."""
    output: Path
    """Folder for the tokens of both splits and corpus.json."""
    heldout_text: tuple[Path, ...] = ()
    """Text that is held out instead of a share of the documents."""
    state: Path = Path("results/.state/tokenize_corpus")
    """Where an interrupted run notes its progress."""


def main(arguments: Arguments) -> None:
    """Tokenises, or goes on where an interrupted run was."""
    from sluice.base.tokenizing import tokenize_corpus

    tokenize_corpus(
        narrow(arguments, TokenizeCorpus),
        text=arguments.text,
        heldout_text=arguments.heldout_text,
        tokenizer_folder=arguments.tokenizer,
        output=arguments.output,
        state_root=arguments.state,
    )


if __name__ == "__main__":
    run(Arguments, main)

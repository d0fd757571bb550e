"""Compression and exactness of a tokenizer by domain, beside any number of others.

Example:
    python workflow_scripts/evaluate_tokenizer.py --tokenizer results/tokenizer/base \
        --compare openai-community/gpt2 tiktoken:cl100k_base --table evaluation.csv \
        --picture evaluation.png
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.tokenizer import EvaluateTokenizer

_DOMAINS = Path("resources/tokenizer/domains")


class Arguments(EvaluateTokenizer):
    """Measure a tokenizer's compression and exactness by domain, beside others."""

    tokenizer: str
    """Folder or hub id, or tiktoken:NAME."""
    domains: tuple[Path, ...] = tuple(sorted(_DOMAINS.glob("*.txt")))
    """Texts of the domains, one file each; the name of the domain is the file's."""
    own_domains: tuple[Path, ...] = ()
    """Further ones."""
    train_text: tuple[Path, ...] = ()
    """Text that the tokenizer was trained on."""
    unseen_text: tuple[Path, ...] = ()
    """Text of the same kind that it was not trained on."""
    table: Path
    """CSV to write: one row for each tokenizer and domain."""
    picture: Path
    """Bar chart to write, PNG."""


def main(arguments: Arguments) -> None:
    """Loads the tokenizers, counts, writes table and picture."""
    from sluice.figures import save_figure
    from sluice.tables import write_csv
    from sluice.tokenizer.evaluation import TRAIN, UNSEEN, evaluate_tokenizers, name_domains
    from sluice.tokenizer.loading import load_named_tokenizer
    from sluice.tokenizer.pictures import plot_bytes_per_token

    sources = dict.fromkeys((arguments.tokenizer, *arguments.compare))
    own, *others = [load_named_tokenizer(source) for source in sources]
    table = evaluate_tokenizers(
        own,
        others,
        domains=name_domains([*arguments.domains, *arguments.own_domains]),
        splits={TRAIN: arguments.train_text, UNSEEN: arguments.unseen_text},
        max_chars=arguments.evaluation_chars,
        has_to_restore=arguments.on_changed_text == "error",
    )
    write_csv(arguments.table, table)
    save_figure(plot_bytes_per_token(table), arguments.picture)


if __name__ == "__main__":
    run(Arguments, main)

"""Settings of the tokenizer stage."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import Settings


class TrainTokenizer(Settings):
    """Byte-level BPE with chat and think tokens."""

    vocab_size: Annotated[int, Field(ge=300)] = 2048
    """Entries of the vocabulary, the 256 bytes and the special tokens included."""
    max_chars: Annotated[int, Field(ge=1)] | None = None
    """Characters of the text that are read in all; no limit where not given."""
    doc_cap: Annotated[int, Field(ge=1)] | None = None
    """Characters of a document that are read; no limit where not given. It keeps a few huge
    documents from deciding what the tokens are."""
    special_tokens: tuple[str, ...] = ()
    """Special tokens besides <|endoftext|>, <|im_start|> and <|im_end|>."""
    split_pattern: str | None = None
    """Regular expression (Oniguruma) whose matches are never merged with what stands beside them.
    Where not given, the text is split as GPT-2 does, and digits one by one."""


class EvaluateTokenizer(Settings):
    """A tokenizer's compression and exactness by domain, beside others."""

    compare: tuple[str, ...] = ()
    """Other tokenizers to stand beside it: folders, hub ids, or tiktoken:NAME (such as
    tiktoken:cl100k_base) where the package tiktoken is installed."""
    evaluation_chars: Annotated[int, Field(ge=1)] = 1_000_000
    """Characters of each domain that are read."""
    on_changed_text: Literal["error", "count"] = "error"
    """What to do where the tokenizer does not give a text back exactly. error: stop and show the
    first difference. count: go on; the table has the share of documents that came back. Of the
    tokenizers in compare it is always counted."""


class TokenizerSettings(TrainTokenizer, EvaluateTokenizer):
    """The ``tokenizer:`` section."""

    text: tuple[str, ...] = ("results/demo/base_corpus.jsonl",)
    """What it is trained on: files or folders of JSONL (``text`` or ``messages``), Parquet (the
    same columns) or txt, also .gz or .zst."""
    unseen_text: tuple[str, ...] = (
        "results/demo/heldout_numbers.jsonl",
        "results/demo/heldout_countries.jsonl",
        "results/demo/heldout_cases.jsonl",
    )
    """Text of the same kind that it is not trained on, for its evaluation."""
    domains: tuple[str, ...] = ()
    """Texts of domains of your own, for its evaluation; the domain's name is the file's."""

"""Settings of the tokenizer stage."""

from typing import Annotated

from pydantic import Field

from sluice.settings.base import Settings


class TrainTokenizer(Settings):
    """Byte-level BPE with chat and think tokens."""

    vocab_size: Annotated[int, Field(ge=300)] = 2048
    """Entries of the vocabulary, the 256 bytes and the special tokens included."""


class TokenizerSettings(TrainTokenizer):
    """The ``tokenizer:`` section."""

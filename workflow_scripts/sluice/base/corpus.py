"""Text as tokens in a file: written once, document after document, and read without loading it.

A corpus is a folder: ``train.tokens`` and ``heldout.tokens`` (ids, little-endian, uint16 where the
vocabulary allows it, uint32 elsewhere), ``train.ends`` and ``heldout.ends`` (uint64: how many
tokens there are up to the end of each document), and ``corpus.json``, which describes them.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from sluice.errors import DataError, ModelError
from sluice.files import hash_file, read_json

DESCRIPTION = "corpus.json"
SPLITS = ("train", "heldout")
ENDS_TYPE = np.dtype("<u8")
_FORMAT_VERSION = 1
_END_OF_TEXT = "<|endoftext|>"


class _Split(TypedDict):
    num_tokens: NonNegativeInt
    num_documents: NonNegativeInt


class _Splits(TypedDict):
    train: _Split
    heldout: _Split


class _Description(TypedDict):
    format_version: Literal[1]
    dtype: Literal["<u2", "<u4"]
    vocab_size: PositiveInt
    begin_token_id: NonNegativeInt
    splits: _Splits
    sha256: dict[str, str]


_DESCRIPTION = TypeAdapter(_Description)


@dataclass(frozen=True)
class TokenisedText:
    """One split of a corpus; the arrays are views of files."""

    path: Path
    """The file of tokens."""
    tokens: np.ndarray
    """Ids of all documents, each with its begin token first."""
    ends: np.ndarray
    """Tokens up to the end of each document, that document's included."""

    @property
    def num_documents(self) -> int:
        """How many documents there are."""
        return len(self.ends)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each document, its begin token included."""
        return np.diff(self.ends.astype(np.int64), prepend=0)

    def document(self, number: int) -> np.ndarray:
        """A document's tokens."""
        start = int(self.ends[number - 1]) if number else 0
        return self.tokens[start : int(self.ends[number])]


@dataclass(frozen=True)
class Corpus:
    """A tokenised corpus."""

    train: TokenisedText
    held_out: TokenisedText
    vocab_size: int
    begin_token_id: int


def read_corpus(folder: Path) -> Corpus:
    """Opens a folder that tokenize_corpus has written.

    Raises:
        DataError: it is none, or its files are not those that it describes.
    """
    path = Path(folder) / DESCRIPTION
    try:
        about = _DESCRIPTION.validate_python(read_json(path), strict=True)
    except ValidationError:
        raise DataError(
            f"{path} describes no tokenised corpus",
            expected=f"format_version {_FORMAT_VERSION}, from tokenize_corpus.py",
        ) from None
    train, held_out = (_read_split(Path(folder), name, about) for name in SPLITS)
    return Corpus(train, held_out, about["vocab_size"], about["begin_token_id"])


def _read_split(folder: Path, name: str, about: _Description) -> TokenisedText:
    entry = about["splits"]["train" if name == "train" else "heldout"]
    dtype = np.dtype(about["dtype"])
    tokens, ends = folder / f"{name}.tokens", folder / f"{name}.ends"
    text = TokenisedText(
        path=tokens,
        tokens=_view(tokens, dtype, entry["num_tokens"]),
        ends=_view(ends, ENDS_TYPE, entry["num_documents"]),
    )
    for path in (tokens, ends):
        if hash_file(path) != about["sha256"].get(path.name):
            raise DataError(
                f"{path} is damaged: its hash is not the one in {DESCRIPTION}",
                hint="make the corpus again: it was changed since it was written",
            )
    return text


def _view(path: Path, dtype: np.dtype, count: int) -> np.ndarray:
    size = path.stat().st_size if path.exists() else None
    if size != count * dtype.itemsize:
        raise DataError(
            f"{path} has {'no' if size is None else f'{size:,}'} bytes",
            expected=f"{count * dtype.itemsize:,} ({count:,} of {dtype})",
            hint="make the corpus again: it was cut off or changed",
        )
    # numpy refuses to map an empty file.
    return np.memmap(path, dtype=dtype, mode="r") if count else np.empty(0, dtype=dtype)


def describe(
    *, dtype: np.dtype, vocab_size: int, begin_token_id: int, **rest: Any
) -> dict[str, Any]:
    """The content of ``corpus.json``."""
    return {
        "format_version": _FORMAT_VERSION,
        "dtype": dtype.str,
        "vocab_size": vocab_size,
        "begin_token_id": begin_token_id,
        **rest,
    }


def token_type(vocab_size: int) -> np.dtype:
    """The smallest type that holds every id."""
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


def begin_token_id(tokenizer: Any) -> int:
    """What every document begins with: the tokenizer's begin, end-of-text or end token.

    Raises:
        ModelError: it has none of them.
    """
    known = tokenizer.get_vocab()
    candidates = (tokenizer.bos_token_id, known.get(_END_OF_TEXT), tokenizer.eos_token_id)
    found: int | None = next((each for each in candidates if each is not None), None)
    if found is None:
        raise ModelError(
            "the tokenizer has no token that could begin a document",
            expected=f"a bos_token, {_END_OF_TEXT} or an eos_token",
        )
    return found

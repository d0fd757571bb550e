"""Documents as tokens: which of them are predicted and counted, and how many bytes each is.

Plain text is counted whole. Of a dialogue the assistant's responses count, behind everything that
stands before them in the chat template: that is what such a model learns to predict.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sluice.chat import encode_samples
from sluice.errors import ModelError, ScoringError
from sluice.logs import get_logger
from sluice.records import Sample
from sluice.texts import Document
from sluice.token_bytes import document_bytes

logger = get_logger(__name__)

Dialogues = Literal["responses", "text"]

_END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class TokenDocument:
    """The T tokens of a document.

    A counted token is a target that is no special token; the first token, which nothing stands
    before, never is one.
    """

    ids_T: NDArray[np.int32]
    is_counted_T: NDArray[np.bool_]
    num_bytes_T: NDArray[np.int32]
    """0 where a token is not counted."""

    @property
    def num_counted(self) -> int:
        """Tokens that are predicted and counted."""
        return int(self.is_counted_T.sum())

    @property
    def num_bytes(self) -> int:
        """Bytes of the counted tokens."""
        return int(self.num_bytes_T.sum(dtype=np.int64))


@dataclass(frozen=True)
class Split:
    """Documents of one kind of text, and what has to be known about them."""

    documents: list[TokenDocument]
    num_changed: int
    """Plain documents whose tokens are not the text's bytes, since the tokenizer changes texts."""

    def digest(self) -> str:
        """A hash of all tokens and of what is counted."""
        found = hashlib.sha256()
        for document in self.documents:
            for array in (document.ids_T, document.is_counted_T, document.num_bytes_T):
                found.update(len(array).to_bytes(8, "little"))
                found.update(array.tobytes())
        return found.hexdigest()


def encode_split(
    documents: Iterable[Document],
    *,
    tokenizer: Any,
    table: Sequence[bytes | None],
    dialogues: Dialogues,
    split_tokens: int | None,
) -> Split:
    """Encodes documents until they have ``split_tokens`` tokens; the last one counts whole.

    Args:
        documents: read as far as needed.
        tokenizer: of transformers.
        table: bytes of its tokens, see `token_bytes`.
        dialogues: what of a dialogue counts; ``text`` takes its contents as plain text.
        split_tokens: None takes all documents.
    Raises:
        ScoringError: not one token is counted.
        ModelError: the tokenizer has no chat template for a dialogue.
    """
    encoder = _Encoder(tokenizer, table)
    encoded: list[TokenDocument] = []
    num_tokens = num_changed = 0
    for document in documents:
        if document.messages and dialogues == "responses":
            found = encoder.dialogue(document)
        else:
            found, is_same = encoder.plain(document.text)
            num_changed += not is_same
        encoded.append(found)
        num_tokens += len(found.ids_T)
        if split_tokens is not None and num_tokens >= split_tokens:
            break
    return _checked(Split(encoded, num_changed))


def _checked(split: Split) -> Split:
    if not any(document.num_bytes for document in split.documents):
        raise ScoringError(
            f"none of {len(split.documents):,} documents has a token that can be counted",
            expected="text of at least two tokens, or dialogues with a response",
        )
    if split.num_changed:
        logger.warning(
            "the tokenizer changes %d of %d documents: their bytes are those of its tokens",
            split.num_changed,
            len(split.documents),
        )
    return split


class _Encoder:
    def __init__(self, tokenizer: Any, table: Sequence[bytes | None]) -> None:
        self._tokenizer = tokenizer
        self._table = table
        self._is_special = np.array([entry is None for entry in table])
        self._sizes = np.array([len(entry or b"") for entry in table], dtype=np.int32)
        self._start = start_tokens(tokenizer)

    def plain(self, text: str) -> tuple[TokenDocument, bool]:
        """Counts every token; marks such as <|im_end|> in the text are text, not special tokens."""
        ids = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]
        num_bytes, is_same = document_bytes(ids, self._table, text=text)
        whole = [*self._start, *ids]
        sizes = np.array([0] * len(self._start) + num_bytes, dtype=np.int32)
        return self._count(whole, np.ones(len(whole), dtype=bool), sizes), is_same

    def dialogue(self, document: Document) -> TokenDocument:
        """Counts the responses' tokens."""
        if not self._tokenizer.chat_template:
            raise ModelError(
                f"{document.where} is a dialogue, and the tokenizer has no chat template",
                hint="dialogues: text takes the messages' contents as plain text",
            )
        sample = Sample(messages=document.messages, dataset="text", id=document.where)
        (encoded,) = encode_samples(self._tokenizer, [sample])
        ids = np.array(encoded.input_ids, dtype=np.int32)
        return self._count(ids, np.array(encoded.is_response, dtype=bool), self._sizes[ids])

    def _count(
        self,
        ids: Sequence[int] | NDArray[np.int32],
        is_wanted: NDArray[np.bool_],
        sizes: NDArray[np.int32],
    ) -> TokenDocument:
        ids_T = np.asarray(ids, dtype=np.int32)
        is_counted_T = is_wanted & ~self._is_special[ids_T]
        is_counted_T[:1] = False
        return TokenDocument(ids_T, is_counted_T, np.where(is_counted_T, sizes, 0).astype(np.int32))


def start_tokens(tokenizer: Any) -> list[int]:
    """What every plain document begins with: the tokenizer's begin, end-of-text or end token.

    Empty where it has none of them; a document's first token is then not predicted.
    """
    known = tokenizer.get_vocab()
    candidates = (tokenizer.bos_token_id, known.get(_END_OF_TEXT), tokenizer.eos_token_id)
    return [each for each in candidates if each is not None][:1]

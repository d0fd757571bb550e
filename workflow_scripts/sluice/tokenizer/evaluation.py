"""How well a tokenizer compresses texts of several domains, and whether it gives them back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sluice.errors import ConfigError, ModelError
from sluice.logs import get_logger
from sluice.texts import Document, read_documents
from sluice.tokenizer.loading import NamedTokenizer

logger = get_logger(__name__)

TRAIN, UNSEEN, OVERALL = "train", "unseen", "overall"
_SHOWN_CHARS = 30


@dataclass
class Counts:
    """Sums over the documents of a domain."""

    documents: int = 0
    characters: int = 0
    bytes: int = 0
    tokens: int = 0
    single_byte_tokens: int = 0
    unknown_tokens: int = 0
    restored_documents: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Counts(*(mine + its for mine, its in pairs))


def name_domains(files: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """Domains by the names of their files, ``news.txt`` -> news.

    Raises:
        ConfigError: two files have one name, or one that the table uses for something else.
    """
    domains: dict[str, tuple[Path, ...]] = {}
    for file in files:
        name = file.name.split(".")[0] or file.name
        if name in (*domains, TRAIN, UNSEEN, OVERALL):
            raise ConfigError(
                f"the domain name '{name}' of {file} is taken",
                expected=f"names of files that differ, and are not {TRAIN}, {UNSEEN} or {OVERALL}",
            )
        domains[name] = (file,)
    return domains


def evaluate_tokenizers(
    own: NamedTokenizer,
    others: Sequence[NamedTokenizer],
    *,
    domains: Mapping[str, Sequence[Path]],
    splits: Mapping[str, Sequence[Path]],
    max_chars: int,
    has_to_restore: bool,
) -> pd.DataFrame:
    """One row for each tokenizer and domain.

    The row ``overall`` holds the sums over all domains. The splits stand apart: the text that a
    tokenizer was trained on would drown the domains, and flatter it.

    Args:
        own: the tokenizer in question.
        others: what stands beside it; they may change texts.
        domains: name -> files.
        splits: the text that ``own`` was trained on and text of the same kind that it was not.
        max_chars: characters of each domain and split that are read.
        has_to_restore: whether it is an error when ``own`` does not give a text back exactly.
    Raises:
        ModelError: it did not; the message shows the first difference.
        DataError: a text cannot be read.
    """
    rows = []
    for tokenizer in (own, *others):
        is_strict = has_to_restore and tokenizer is own
        parts = {
            name: _count(tokenizer, paths, max_chars=max_chars, is_strict=is_strict)
            for name, paths in {**domains, **splits}.items()
            if paths
        }
        overall = sum((parts[name] for name in domains), Counts())
        ordered = {**{name: parts[name] for name in domains}, OVERALL: overall, **parts}
        rows += [_row(tokenizer, name, counts) for name, counts in ordered.items()]
        logger.info("%s: %d tokens, %d bytes", tokenizer.name, overall.tokens, overall.bytes)
    return pd.DataFrame(rows)


def _count(
    tokenizer: NamedTokenizer, paths: Sequence[Path], *, max_chars: int, is_strict: bool
) -> Counts:
    counts = Counts()
    for document in read_documents(paths, max_chars=max_chars):
        # A dialogue's messages are encoded one by one, as a chat template does.
        texts = [each.content for each in document.messages] or [document.text]
        is_restored = True
        for text in texts:
            ids = tokenizer.encode(text)
            restored = tokenizer.decode(ids)
            if restored != text and is_strict:
                raise _changed_text(tokenizer, document, text, restored)
            is_restored &= restored == text
            counts += _count_tokens(tokenizer, text, ids)
        counts += Counts(documents=1, restored_documents=int(is_restored))
    return counts


def _count_tokens(tokenizer: NamedTokenizer, text: str, ids: Sequence[int]) -> Counts:
    table = tokenizer.table or ()
    return Counts(
        characters=len(text),
        bytes=len(text.encode()),
        tokens=len(ids),
        single_byte_tokens=sum(len(table[index] or b"") == 1 for index in ids) if table else 0,
        unknown_tokens=sum(index == tokenizer.unknown_id for index in ids),
    )


def _changed_text(
    tokenizer: NamedTokenizer, document: Document, text: str, restored: str
) -> ModelError:
    """The error that shows the first difference."""
    pairs = enumerate(zip(text, restored, strict=False))
    place = next((i for i, (a, b) in pairs if a != b), min(len(text), len(restored)))
    return ModelError(
        f"tokenizer {tokenizer.name} does not give a text back: character {place:,} on is "
        f"{restored[place : place + _SHOWN_CHARS]!r}",
        where=document.where,
        expected=repr(text[place : place + _SHOWN_CHARS]),
        hint="on_changed_text: count, if the tokenizer is meant to change texts",
    )


def _row(tokenizer: NamedTokenizer, domain: str, counts: Counts) -> dict[str, object]:
    """The table's row; a share of nothing is left empty."""
    single_byte_share = _share(counts.single_byte_tokens, counts.tokens)
    return {
        "tokenizer": tokenizer.name,
        "domain": domain,
        "vocab_size": tokenizer.vocab_size,
        "documents": counts.documents,
        "characters": counts.characters,
        "bytes": counts.bytes,
        "tokens": counts.tokens,
        "bytes_per_token": _share(counts.bytes, counts.tokens),
        "tokens_per_character": _share(counts.tokens, counts.characters),
        "single_byte_share": None if tokenizer.table is None else single_byte_share,
        "unknown_rate": _share(counts.unknown_tokens, counts.tokens),
        "restored_share": _share(counts.restored_documents, counts.documents),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None

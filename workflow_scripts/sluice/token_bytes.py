"""The bytes that each token of a vocabulary stands for, read off its byte-level form.

Decoding a token by itself is no way to them: a token that holds part of a UTF-8 character decodes
to U+FFFD, which is three bytes where the token has one.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from sluice.errors import ModelError

_WORD_START = "\u2581"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def token_bytes(tokenizer: Any) -> list[bytes | None]:
    """The bytes of every token, by id; None for special tokens and for ids without a token.

    Three forms are known: byte-level BPE (each byte is a printable character), sentencepiece
    (``▁`` is a space, ``<0xNN>`` a byte), and vocabularies that hold bytes themselves (tiktoken).

    Args:
        tokenizer: of transformers.
    Raises:
        ModelError: the tokens are of another form, whose bytes cannot be told.
    """
    vocab = tokenizer.get_vocab()
    table: list[bytes | None] = [None] * (max(vocab.values(), default=-1) + 1)
    to_bytes = _FORMS[_form(tokenizer, vocab)]
    for token, index in vocab.items():
        table[index] = token if isinstance(token, bytes) else to_bytes(token)
    for index, added in tokenizer.added_tokens_decoder.items():
        # An added token stands in the text as it is, whatever the form of the others.
        table[index] = None if added.special else added.content.encode()
    for index in tokenizer.all_special_ids:
        table[index] = None
    return table


def document_bytes(
    ids: Sequence[int], table: Sequence[bytes | None], *, text: str
) -> tuple[list[int], bool]:
    """How many bytes of a text each of its tokens stands for, and whether that is the whole text.

    A space that the tokenizer puts before every text (sentencepiece does) is none of the text's: it
    is taken off the first token.

    Args:
        ids: the text's tokens, special ones among them or not; those count 0.
        table: of `token_bytes`.
        text: what was encoded.
    Returns:
        One number a token; whether the tokens' bytes, in order, are the text's.
    """
    parts = [table[index] or b"" for index in ids]
    counts = [len(part) for part in parts]
    whole, wanted = b"".join(parts), text.encode()
    if whole == b" " + wanted:
        first = next(place for place, count in enumerate(counts) if count)
        counts[first] -= 1
        return counts, True
    return counts, whole == wanted


def _form(tokenizer: Any, vocab: dict[Any, int]) -> str:
    if any(isinstance(token, bytes) for token in vocab):
        return "bytes"
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return _checked("sentencepiece" if hasattr(tokenizer, "sp_model") else None, tokenizer)
    parts = json.loads(backend.to_str())
    kinds = set(_kinds(parts["decoder"])) | set(_kinds(parts["pre_tokenizer"]))
    if "ByteLevel" in kinds:
        return "byte_level"
    is_sentencepiece = "Metaspace" in kinds or "ByteFallback" in kinds
    return _checked("sentencepiece" if is_sentencepiece else None, tokenizer)


def _checked(form: str | None, tokenizer: Any) -> str:
    if form is None:
        raise ModelError(
            f"the tokens' bytes cannot be told: {type(tokenizer).__name__} is of no known form",
            expected="byte-level BPE, sentencepiece, or a vocabulary of bytes",
        )
    return form


def _kinds(part: Any) -> Iterator[str]:
    """The types of a tokenizer's part and of the parts inside it."""
    if isinstance(part, dict):
        if isinstance(part.get("type"), str):
            yield part["type"]
        for inner in (*part.get("decoders", ()), *part.get("pretokenizers", ())):
            yield from _kinds(inner)


@cache
def _byte_of_character() -> dict[str, int]:
    """GPT-2's alphabet: a printable character for each byte."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {character: byte for byte, character in bytes_to_unicode().items()}


def _from_byte_level(token: str) -> bytes:
    known = _byte_of_character()
    if all(character in known for character in token):
        return bytes(known[character] for character in token)
    return token.encode()


def _from_sentencepiece(token: str) -> bytes:
    found = _BYTE_TOKEN.fullmatch(token)
    return bytes.fromhex(found[1]) if found else token.replace(_WORD_START, " ").encode()


_FORMS: dict[str, Callable[[str], bytes]] = {
    "byte_level": _from_byte_level,
    "sentencepiece": _from_sentencepiece,
    "bytes": str.encode,
}

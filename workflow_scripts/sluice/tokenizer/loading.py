"""Any tokenizer, of transformers or of tiktoken, behind the few things that are measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.chat import load_tokenizer
from sluice.errors import ModelError
from sluice.hub import prepare_transformers
from sluice.logs import get_logger
from sluice.token_bytes import token_bytes
from sluice.validation import nearest

logger = get_logger(__name__)

_TIKTOKEN = "tiktoken:"


@dataclass(frozen=True)
class NamedTokenizer:
    """A tokenizer and where it is from."""

    name: str
    """Folder, hub id, or ``tiktoken:NAME``."""
    vocab_size: int
    encode: Callable[[str], Sequence[int]]
    """A text's tokens, without any that begin or end it; marks such as <|im_end|> are text."""
    decode: Callable[[Sequence[int]], str]
    table: Sequence[bytes | None] | None
    """The bytes of each token (see `token_bytes`), or None where they cannot be told."""
    unknown_id: int | None
    """The token that stands for what the vocabulary lacks."""


def load_named_tokenizer(source: str) -> NamedTokenizer:
    """The tokenizer of a folder or hub id, or of ``tiktoken:NAME``.

    Raises:
        ModelError: it cannot be loaded, or tiktoken is not installed.
    """
    if source.startswith(_TIKTOKEN):
        return _from_tiktoken(source)
    prepare_transformers()
    tokenizer = load_tokenizer(source, needs_template=False)
    try:
        table = token_bytes(tokenizer)
    except ModelError as error:
        logger.warning("%s: %s; its share of single-byte tokens is left out", source, error.what)
        table = None
    return NamedTokenizer(
        name=source,
        vocab_size=len(tokenizer),
        encode=lambda text: tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ],
        decode=lambda ids: tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        ),
        table=table,
        unknown_id=tokenizer.unk_token_id,
    )


def _from_tiktoken(source: str) -> NamedTokenizer:
    try:
        import tiktoken
    except ModuleNotFoundError:
        raise ModelError(
            f"'{source}' needs the package tiktoken, which is not installed",
            hint="pip install tiktoken, or leave it out of tokenizer.compare",
        ) from None
    encoding = _find_encoding(tiktoken, source.removeprefix(_TIKTOKEN))
    return NamedTokenizer(
        name=source,
        vocab_size=encoding.n_vocab,
        encode=encoding.encode_ordinary,
        # Bytes that are no UTF-8 are shown as U+FFFD, which differs from any text without it.
        decode=lambda ids: encoding.decode_bytes(list(ids)).decode(errors="replace"),
        table=[_bytes_of(encoding, index) for index in range(encoding.n_vocab)],
        unknown_id=None,
    )


def _find_encoding(tiktoken: Any, name: str) -> Any:
    known = tiktoken.list_encoding_names()
    if name not in known:
        raise ModelError(f"tiktoken has no encoding '{name}'", hint=nearest(name, known))
    try:
        return tiktoken.get_encoding(name)
    except Exception as error:  # its HTTP client's and the file system's
        raise ModelError(
            f"tiktoken's encoding '{name}' could not be loaded: {error}",
            hint="it is downloaded once; offline, set TIKTOKEN_CACHE_DIR to a folder that has it",
        ) from None


def _bytes_of(encoding: Any, index: int) -> bytes | None:
    if index in encoding._special_tokens.values():
        return None
    try:
        found: bytes = encoding.decode_single_token_bytes(index)
    except KeyError:  # a gap in the numbering
        return None
    return found

"""Documents of any text source, one at a time: JSONL, Parquet, plain text, folders, compressed.

Nothing is held but the document at hand (of Parquet a row group), so that a corpus may be larger
than memory.
"""

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sluice.errors import DataError
from sluice.records import Message
from sluice.sources import DAMAGE, damaged_file, file_kind, list_files, open_source, read_rows

KINDS = (".jsonl", ".ndjson", ".json", ".parquet", ".txt")
"""What a file of text may end in, .gz or .zst behind it too."""

# A plain text is one document; one longer than this is cut at line ends, to stay readable lazily.
_PIECE_CHARS = 2**20
_BLOCK_BYTES = 2**20

_COLUMNS = ("text", "messages")
_MESSAGES: TypeAdapter[tuple[Message, ...]] = TypeAdapter(tuple[Message, ...])


@dataclass(frozen=True)
class Document:
    """One text, or one dialogue, and where it stands."""

    where: str
    """File and line, row or item, counted from 1."""
    text: str
    """Of a dialogue the contents of its messages, a blank line between them."""
    messages: tuple[Message, ...] = ()
    """Empty where the source holds plain text."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text, or each role and content of a dialogue by itself."""
        if not self.messages:
            return (self.text,)
        return tuple(text for each in self.messages for text in (each.role, each.content))


def read_documents(
    paths: Sequence[Path], *, max_chars: int | None = None, doc_cap: int | None = None
) -> Iterator[Document]:
    """Streams the documents of files and folders in the order given, folders in order of name.

    A row of JSON Lines or Parquet holds ``text``, or the ``messages`` of a canonical sample. A
    plain text file is one document; a long one is cut at line ends. Empty documents are left out.

    Args:
        paths: files and folders.
        max_chars: characters in all; the document that crosses this is cut, what follows is not
            read. Of dialogues the contents count.
        doc_cap: characters of a document; the rest of a longer one is left out.
    Raises:
        DataError: a file is missing, of no known kind or damaged, or a row holds no text.
    """
    left = max_chars
    for path in paths:
        for file in list_files(Path(path), kinds=KINDS):
            for document in _documents_of(file):
                limits = [limit for limit in (doc_cap, left) if limit is not None]
                kept = _cut(document, min(limits)) if limits else document
                if not kept.text:
                    continue
                yield kept
                if left is not None:
                    left -= _num_chars(kept)
                    if left <= 0:
                        return


def _documents_of(file: Path) -> Iterator[Document]:
    if file_kind(file) not in KINDS:
        raise DataError(
            f"{file} is of no known kind of text",
            expected=f"{', '.join(KINDS)}; each may end in .gz or .zst too",
        )
    if file_kind(file) == ".txt":
        yield from _read_plain(file)
        return
    for row in read_rows(file, columns=_COLUMNS):
        where = f"{file} {row.where}"
        if row.problem:
            raise DataError(f"a row cannot be read: {row.problem}: {row.raw[:80]}", where=where)
        yield _to_document(row.value, where)


def _to_document(value: Any, where: str) -> Document:
    row = value if isinstance(value, dict) else {}
    if isinstance(row.get("text"), str):
        return Document(where, _checked(row["text"], where))
    if row.get("messages") is None:
        raise DataError(
            "a row holds no text",
            where=where,
            expected='{"text": str}, or a canonical sample: {"messages": [...], ...}',
            hint="workflow_scripts/convert_dataset.py makes canonical samples of most formats",
        )
    try:
        messages = _MESSAGES.validate_python(row["messages"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in ("messages", *first["loc"]))
        raise DataError(f"'{field}' is no message: {first['msg']}", where=where) from None
    for message in messages:
        _checked(message.content, where)
    return _dialogue(where, messages)


def _checked(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(
            "the text holds one half of a surrogate pair, which is no character", where=where
        ) from None
    return text


def _dialogue(where: str, messages: tuple[Message, ...]) -> Document:
    return Document(where, "\n\n".join(each.content for each in messages), messages)


def _num_chars(document: Document) -> int:
    if not document.messages:
        return len(document.text)
    return sum(len(each.content) for each in document.messages)


def _cut(document: Document, limit: int) -> Document:
    """The document's first characters; messages behind the limit are left out."""
    if _num_chars(document) <= limit:
        return document
    if not document.messages:
        return Document(document.where, document.text[:limit])
    kept: list[Message] = []
    for message in document.messages:
        if limit <= 0:
            break
        kept.append(Message(role=message.role, content=message.content[:limit]))
        limit -= len(message.content)
    return _dialogue(document.where, tuple(kept))


def _read_plain(file: Path) -> Iterator[Document]:
    """Yields the text as it is, carriage returns included; only a byte order mark is dropped."""
    held, line = "", 1
    for block in _decoded_blocks(file):
        held += block
        while len(held) > _PIECE_CHARS:
            end = held.rfind("\n", 0, _PIECE_CHARS) + 1 or _PIECE_CHARS
            yield Document(f"{file} line {line}", held[:end])
            line += held.count("\n", 0, end)
            held = held[end:]
    yield Document(f"{file} line {line}", held)


def _decoded_blocks(file: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    num_lines = 1
    with open_source(file) as stream:
        while True:
            try:
                data = stream.read(_BLOCK_BYTES)
            except DAMAGE as error:
                raise damaged_file(file, error) from None
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                line = num_lines + error.object[: error.start].count(b"\n")
                raise DataError("the text is not UTF-8", where=f"{file} line {line}") from None
            num_lines += text.count("\n")
            yield text
            if not data:
                return

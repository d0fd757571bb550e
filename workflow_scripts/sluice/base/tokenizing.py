"""Documents of any text source -> the files of tokens that packed training reads.

Made for corpora larger than memory: documents are tokenised in batches and appended. The progress
is noted, so that an interrupted run reads again what it has read but tokenises only what is left.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sluice.base.corpus import (
    DESCRIPTION,
    ENDS_TYPE,
    SPLITS,
    begin_token_id,
    describe,
    read_corpus,
    token_type,
)
from sluice.chat import load_tokenizer
from sluice.errors import DataError
from sluice.files import atomic_folder, atomic_path, write_json
from sluice.logs import get_logger
from sluice.sealed_lines import read_sealed, seal
from sluice.seeds import derive_seed
from sluice.settings.base_model import TokenizeCorpus
from sluice.state import clear_state, open_state
from sluice.texts import read_documents

logger = get_logger(__name__)

# Documents that go to the tokenizer together, its threads sharing them out.
_BATCH_CHARS = 1 << 22
# A note every so many characters is one every 10 s or so: what an interruption can lose.
_NOTE_CHARS = 1 << 25
_PROGRESS = "progress.json"
_HASH_CHUNK_BYTES = 1 << 20
_SEED_RANGE = 1 << 63


@dataclass
class Counts:
    """What has been written of one split."""

    num_documents: int = 0
    num_tokens: int = 0
    num_bytes: int = 0
    """UTF-8 bytes of the documents' text."""


def tokenize_corpus(
    settings: TokenizeCorpus,
    *,
    text: Sequence[Path],
    heldout_text: Sequence[Path],
    tokenizer_folder: Path,
    output: Path,
    state_root: Path,
) -> None:
    """Writes the corpus folder, or goes on writing it where an interrupted run was.

    Raises:
        ModelError: the tokenizer cannot be loaded, or has no token to begin a document with.
        DataError: a source cannot be read, or holds nothing to train on.
    """
    tokenizer = load_tokenizer(tokenizer_folder, needs_template=False)
    state = open_state(
        state_root,
        script="tokenize_corpus",
        settings={**settings.model_dump(mode="json"), "num_train_sources": len(text)},
        inputs=[*text, *heldout_text, tokenizer_folder],
    )
    share = 0.0 if heldout_text else settings.heldout_share
    documents = _split_documents(text, heldout_text, share=share, seed=settings.seed)
    writer = CorpusWriter(state, tokenizer)
    writer.write(documents)
    if not writer.counts["train"].num_documents:
        raise DataError(
            "no document is left to train on", where=", ".join(str(path) for path in text)
        )
    writer.finish(output)
    for name in SPLITS:
        logger.info("%s: %s", name, _summary(writer.counts[name]))
    read_corpus(output)
    clear_state(state)


def _split_documents(
    text: Sequence[Path], heldout_text: Sequence[Path], *, share: float, seed: int
) -> Iterator[tuple[str, str]]:
    """Split and text of every document. A document's split depends on seed and number alone."""
    for number, document in enumerate(read_documents(text)):
        is_held_out = derive_seed(seed, "heldout", number) < share * _SEED_RANGE
        yield ("heldout" if is_held_out else "train"), document.text
    for document in read_documents(heldout_text):
        yield "heldout", document.text


class CorpusWriter:
    """Appends documents to the files of a corpus in a folder that survives an interruption.

    Args:
        folder: where the files grow; those of an interrupted run are cut back to its last note.
        tokenizer: a fast one. What looks like a special token in a text is text.
    """

    def __init__(self, folder: Path, tokenizer: Any) -> None:
        self._folder = folder
        self._backend = tokenizer.backend_tokenizer
        self._backend.encode_special_tokens = True
        self._begin = begin_token_id(tokenizer)
        self._vocab_size = len(tokenizer)
        self._dtype = token_type(self._vocab_size)
        notes = list(read_sealed(folder / _PROGRESS))
        counts = notes[-1]["counts"] if notes else {name: {} for name in SPLITS}
        self.counts = {name: Counts(**counts[name]) for name in SPLITS}
        self._hashes = {path.name: _hash_of(path, size) for path, size in self._sizes()}
        if notes and self._digests() != notes[-1]["sha256"]:
            logger.warning("%s is damaged; the corpus is made from its beginning", folder)
            self.counts = {name: Counts() for name in SPLITS}
            self._hashes = {path.name: hashlib.sha256() for path, _ in self._sizes()}
        for path, size in self._sizes():
            with open(path, "ab") as stream:
                stream.truncate(size)

    @property
    def num_documents(self) -> int:
        """Documents written so far, of both splits."""
        return sum(each.num_documents for each in self.counts.values())

    def write(self, documents: Iterator[tuple[str, str]]) -> None:
        """Tokenises and appends all that an interrupted run has not."""
        _let_tokenizer_use_threads()
        if self.num_documents:
            logger.info("going on after document %d of an interrupted run", self.num_documents)
        num_chars = 0
        for batch in _batches(islice(documents, self.num_documents, None)):
            self._append(batch)
            num_chars += sum(len(text) for _, text in batch)
            if num_chars >= _NOTE_CHARS:
                self._note()
                num_chars = 0
        self._note()

    def finish(self, output: Path) -> None:
        """Moves the files into the corpus folder and describes them."""
        files = [path for path, _ in self._sizes()]
        about = describe(
            dtype=self._dtype,
            vocab_size=self._vocab_size,
            begin_token_id=self._begin,
            splits={name: vars(self.counts[name]) for name in SPLITS},
            sha256=self._digests(),
        )
        with atomic_folder(output) as folder:
            for path in files:
                _hand_over(path, folder / path.name)
            write_json(folder / DESCRIPTION, about)

    def _append(self, batch: Sequence[tuple[str, str]]) -> None:
        encodings = self._backend.encode_batch_fast(
            [text for _, text in batch], add_special_tokens=False
        )
        for name in SPLITS:
            counts = self.counts[name]
            ids: list[np.ndarray] = []
            ends: list[int] = []
            for (split, text), encoding in zip(batch, encodings, strict=True):
                if split != name:
                    continue
                ids.append(np.array([self._begin, *encoding.ids], dtype=self._dtype))
                counts.num_documents += 1
                counts.num_tokens += len(ids[-1])
                counts.num_bytes += len(text.encode())
                ends.append(counts.num_tokens)
            if ids:
                self._append_bytes(f"{name}.tokens", np.concatenate(ids).tobytes())
                self._append_bytes(f"{name}.ends", np.array(ends, dtype=ENDS_TYPE).tobytes())

    def _append_bytes(self, name: str, data: bytes) -> None:
        with open(self._folder / name, "ab") as stream:
            stream.write(data)
        self._hashes[name].update(data)

    def _digests(self) -> dict[str, str]:
        """SHA-256 of each file's noted bytes."""
        return {name: each.hexdigest() for name, each in self._hashes.items()}

    def _note(self) -> None:
        counts = {name: vars(self.counts[name]) for name in SPLITS}
        with atomic_path(self._folder / _PROGRESS) as temporary:
            temporary.write_bytes(seal({"counts": counts, "sha256": self._digests()}))
        logger.info("%d documents tokenised", self.num_documents)

    def _sizes(self) -> Iterator[tuple[Path, int]]:
        """Each file, and how many of its bytes are noted."""
        for name in SPLITS:
            counts = self.counts[name]
            token_bytes = counts.num_tokens * self._dtype.itemsize
            yield self._folder / f"{name}.tokens", token_bytes
            yield self._folder / f"{name}.ends", counts.num_documents * ENDS_TYPE.itemsize


def _hash_of(path: Path, size: int) -> Any:
    """The hash of a file's first bytes, which can go on; of fewer where the file is shorter."""
    digest = hashlib.sha256()
    if path.exists():
        with open(path, "rb") as stream:
            while size > 0 and (chunk := stream.read(min(size, _HASH_CHUNK_BYTES))):
                digest.update(chunk)
                size -= len(chunk)
    return digest


def _batches(documents: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch: list[tuple[str, str]] = []
    num_chars = 0
    for split, text in documents:
        batch.append((split, text))
        num_chars += len(text)
        if num_chars >= _BATCH_CHARS:
            yield batch
            batch, num_chars = [], 0
    if batch:
        yield batch


def _hand_over(source: Path, target: Path) -> None:
    """A second name of the file where that is possible: a corpus may be large."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _let_tokenizer_use_threads() -> None:
    """As many as the rule has: the tokenizer reads these variables when it first encodes."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ.setdefault("RAYON_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "0"))


def _summary(counts: Counts) -> str:
    return (
        f"{counts.num_documents:,} documents, {counts.num_bytes:,} bytes, "
        f"{counts.num_tokens:,} tokens"
    )

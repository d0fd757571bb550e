"""One pass over a dataset: what gates and model say of every token.

Batches are sorted by length, bounded in tokens and the same whatever the order of the samples and
the number of shards, so that records are the same to the byte; other batches change a record's last
bits only. Finished batches are on disk at least every minute, and a rerun goes on from there.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sluice.chat import EncodedSample, encode_samples, response_opening
from sluice.errors import DataError, ScoringError, shorten_ids
from sluice.gate.batching import block_numbers, split_by_tokens
from sluice.gate.token_statistics import token_statistics
from sluice.ledger import Ledger
from sluice.logs import get_logger, progress
from sluice.memory import FittingBatches
from sluice.records import Sample
from sluice.router_data import MAX_NLL_NATS, RouterData
from sluice.settings.gate import CollectRouterData
from sluice.tensor_files import read_progress, write_tensors

logger = get_logger(__name__)

_SAVE_EVERY_S = 45.0
_ENCODE_AT_ONCE = 1000


@dataclass(frozen=True)
class _Item:
    """One sequence to score: a sample as it stands, or (``is_alone``) its response only."""

    sample: int
    is_alone: bool
    token_ids: np.ndarray[Any, np.dtype[np.int32]]


def collect_router_data(
    model: Any,
    tokenizer: Any,
    samples: Iterable[Sample],
    *,
    dataset: str,
    settings: CollectRouterData,
    ledger: Ledger,
    state: Path,
) -> RouterData:
    """The records of one dataset, or one shard of it, samples sorted by id.

    Args:
        model: a gated model, in the precision and on the device it shall run on.
        tokenizer: the model's.
        samples: whole blocks of samples (see `block_numbers`), in any order.
        dataset: the dataset's name.
        settings: token limits, batch budget, and whether responses are also scored alone.
        ledger: counts the samples; those without a response token are rejected.
        state: the run's own folder for finished batches.
    Raises:
        DataError: an id stands twice.
        ScoringError: samples have no response token, and ``on_empty_response`` is ``error``.
    """
    tokens_of = _encode(tokenizer, samples, settings=settings, ledger=ledger)
    block_of = block_numbers(tokens_of)
    ids = sorted(id for id, tokens in tokens_of.items() if tokens is not None)
    encoded = [tokens for id in ids if (tokens := tokens_of[id]) is not None]
    opening = response_opening(tokenizer) if settings.with_ifd else None
    items = _items(encoded, opening=opening)
    batches = _batches(
        items,
        blocks=[block_of[ids[item.sample]] for item in items],
        tokens_per_batch=settings.tokens_per_batch,
    )
    columns = _Columns(encoded, num_layers=model.config.num_hidden_layers)
    for batch, records in _scored(model, batches, state=state):
        columns.fill(batch, records)
    return columns.router_data(dataset, ids, with_alone=settings.with_ifd)


def _encode(
    tokenizer: Any, samples: Iterable[Sample], *, settings: CollectRouterData, ledger: Ledger
) -> dict[str, EncodedSample | None]:
    """Sample id -> its tokens; None for a sample without a response token."""
    tokens_of: dict[str, EncodedSample | None] = {}
    empty: list[str] = []
    for block in _blocks(samples, _ENCODE_AT_ONCE):
        ledger.read(len(block))
        encoded = encode_samples(tokenizer, block, max_tokens=settings.max_tokens)
        for sample, tokens in zip(block, encoded, strict=True):
            if sample.id in tokens_of:
                raise DataError(
                    f"the id '{sample.id}' stands twice among the samples",
                    hint="convert_dataset refuses such rows, or makes ids where there are none",
                )
            has_response = any(tokens.is_response[1:])
            tokens_of[sample.id] = tokens if has_response else None
            if has_response:
                ledger.keep()
            else:
                empty.append(sample.id)
                row = sample.model_dump(exclude_none=True)
                ledger.reject("no_response_token", row=row, where=sample.id)
    if empty and settings.on_empty_response == "error":
        raise _no_response(empty, num_samples=ledger.rows_in, max_tokens=settings.max_tokens)
    return tokens_of


def _no_response(empty: list[str], *, num_samples: int, max_tokens: int) -> ScoringError:
    return ScoringError(
        f"{len(empty):,} of {num_samples:,} samples have no response token "
        f"(first ids: {shorten_ids(sorted(empty))})",
        expected=f"an assistant message with a token within the first {max_tokens:,}",
        hint="raise data.max_tokens, or set data.on_empty_response: drop (counted in the ledger)",
    )


def _blocks(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    block: list[Sample] = []
    for sample in samples:
        block.append(sample)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _items(encoded: Sequence[EncodedSample], *, opening: list[int] | None) -> list[_Item]:
    items = []
    for index, tokens in enumerate(encoded):
        token_ids = np.asarray(tokens.input_ids, dtype=np.int32)
        items.append(_Item(index, is_alone=False, token_ids=token_ids))
        if opening is not None:
            response = token_ids[1:][np.asarray(tokens.is_response[1:])]
            alone = np.concatenate([np.asarray(opening, dtype=np.int32), response])
            items.append(_Item(index, is_alone=True, token_ids=alone))
    return items


def _batches(
    items: Sequence[_Item], *, blocks: Sequence[int], tokens_per_batch: int
) -> list[list[_Item]]:
    """Batches within each block; the widest first, so that memory runs out at once or never."""
    by_block: dict[int, list[_Item]] = defaultdict(list)
    for item, block in zip(items, blocks, strict=True):
        by_block[block].append(item)
    batches = []
    for members in by_block.values():
        lengths = [len(item.token_ids) for item in members]
        for batch in split_by_tokens(lengths, tokens_per_batch=tokens_per_batch):
            batches.append([members[index] for index in batch])
    return sorted(batches, key=lambda batch: -len(batch[0].token_ids))


def _scored(
    model: Any, batches: list[list[_Item]], *, state: Path
) -> Iterator[tuple[list[_Item], list[Tensor]]]:
    """Every batch with its records, from disk where an earlier run had finished it."""
    done = 0
    for part in _undamaged(sorted(state.glob("*.pt"))):
        for records in part:
            yield batches[done], records
            done += 1
    if done:
        logger.info("%d of %d batches were finished by an earlier run", done, len(batches))
    pending: list[list[Tensor]] = []
    last_save = time.monotonic()
    left = progress(batches[done:], total=len(batches), what="batches", logger=logger, start=done)
    fitting = FittingBatches[_Item](
        "sequences",
        tokens=lambda item: len(item.token_ids),
        hint="lower data.max_tokens, or take a GPU with more memory",
    )
    for batch in left:
        parts = fitting.run(partial(_records, model), batch)
        records = [torch.cat(column) for column in zip(*parts, strict=True)]
        pending.append(records)
        done += 1
        yield batch, records
        if time.monotonic() - last_save > _SAVE_EVERY_S:
            write_tensors(state / f"{done:09d}.pt", pending)
            pending, last_save = [], time.monotonic()


def _undamaged(files: list[Path]) -> Iterator[list[list[Tensor]]]:
    """What the files hold, up to the first damaged one; it and those behind it are removed."""
    for place, file in enumerate(files):
        part = read_progress(file)
        if part is None:
            for behind in files[place:]:
                behind.unlink()
            return
        yield part


def _records(model: Any, items: Sequence[_Item]) -> list[Tensor]:
    """What the model says of some sequences: nll, entropy, varentropy (E) and gates (E, L)."""
    statistics = token_statistics(model, [item.token_ids.tolist() for item in items])
    return [
        statistics.nll,
        statistics.entropy.half(),
        statistics.varentropy.clamp(max=6e4).half(),
        statistics.gate_logits.half(),
    ]


class _Columns:
    """The records of all samples, each put in its place as its batch comes."""

    def __init__(self, encoded: Sequence[EncodedSample], *, num_layers: int) -> None:
        # A shard may be empty: there can be more shards than samples.
        lengths = torch.tensor([len(tokens.input_ids) - 1 for tokens in encoded], dtype=torch.int64)
        self.offsets = torch.zeros(len(encoded) + 1, dtype=torch.int64)
        self.offsets[1:] = lengths.cumsum(0)
        size = int(self.offsets[-1])
        flags = [flag for tokens in encoded for flag in tokens.is_response[1:]]
        self.is_response = torch.tensor(flags, dtype=torch.bool)
        self.nll = torch.zeros(size)
        self.entropies = torch.zeros(size, dtype=torch.float16)
        self.varentropies = torch.zeros(size, dtype=torch.float16)
        self.gates = torch.zeros(size, num_layers, dtype=torch.float16)
        self.alone = torch.zeros(len(encoded))

    def fill(self, batch: list[_Item], records: list[Tensor]) -> None:
        """Takes the records of a batch, sequence after sequence."""
        nll, entropies, varentropies, gates = records
        start = 0
        for item in batch:
            end = start + len(item.token_ids) - 1
            if item.is_alone:
                first, last = self.offsets[item.sample], self.offsets[item.sample + 1]
                num_response = int(self.is_response[first:last].sum())
                self.alone[item.sample] = nll[end - num_response : end].double().mean()
            else:
                place = slice(int(self.offsets[item.sample]), int(self.offsets[item.sample + 1]))
                self.nll[place] = nll[start:end]
                self.entropies[place] = entropies[start:end]
                self.varentropies[place] = varentropies[start:end]
                self.gates[place] = gates[start:end]
            start = end

    def router_data(self, dataset: str, ids: list[str], *, with_alone: bool) -> RouterData:
        """The finished file's content."""
        return RouterData(
            dataset_name=dataset,
            sample_ids=ids,
            offsets=self.offsets,
            quality_gates=self.gates,
            perplexities=self.nll.clamp(max=MAX_NLL_NATS).exp(),
            is_response=self.is_response,
            entropies=self.entropies,
            varentropies=self.varentropies,
            response_nll_alone=self.alone if with_alone else None,
        )

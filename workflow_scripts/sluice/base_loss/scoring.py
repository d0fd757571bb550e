"""The nats of every window: in batches, shared out among processes, noted on disk."""

# Shape letters: B windows of a batch, T tokens, V vocabulary.

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.base_loss.documents import TokenDocument
from sluice.base_loss.ranks import Ranks
from sluice.base_loss.windows import Window, plan_batches
from sluice.errors import ScoringError
from sluice.logs import get_logger, progress
from sluice.memory import FittingBatches
from sluice.sealed_lines import read_sealed, recover, seal

logger = get_logger(__name__)

Floats = NDArray[np.float64]


def score_windows(
    model: Any,
    documents: Sequence[TokenDocument],
    windows: Sequence[Window],
    *,
    batch_size: int,
    notes: Path,
    ranks: Ranks,
) -> Floats:
    """The nats of each window's counted tokens, in the order of the windows.

    Batches are dealt out to the processes in turn, and every process gets all results. A batch is
    made up in the same way whatever the number of processes, so the sums have the same bits, where
    memory holds a whole batch.

    Args:
        model: a causal language model, on its device, in evaluation mode.
        documents: what the windows are cut from.
        windows: of `plan_windows`.
        batch_size: windows that go through the model at once, fewer where memory holds fewer.
        notes: folder of this run's progress; batches noted there are not computed again.
        ranks: this process among all.
    Raises:
        DeviceError: a single window does not fit into memory.
        ScoringError: a loss is not finite.
    """
    batches = plan_batches(windows, batch_size=batch_size)
    known = _read_notes(notes)
    if known:
        logger.info("%d of %d windows are there already", len(known), len(windows))
    todo = [batch for batch in batches if not all(index in known for index in batch)]
    own = todo[ranks.rank :: ranks.count]
    # Nobody writes before all have read, or they would not agree on what is to be done.
    ranks.wait()
    fitting = FittingBatches[Window](
        "windows",
        tokens=lambda window: window.num_inputs,
        hint="lower max_seq_len, or take a GPU with more memory",
    )
    with _own_notes(notes / f"nats.{ranks.rank}.jsonl") as stream:
        for batch in progress(own, total=len(own), what="batches", logger=logger):
            parts = fitting.run(
                partial(_score_batch, model, documents), [windows[index] for index in batch]
            )
            found = list(chain.from_iterable(parts))
            known.update(zip(batch, found, strict=True))
            entry = {"windows": batch, "nats": found}
            stream.write(seal(entry))
            stream.flush()
    mine = {index for batch in own for index in batch}
    nats = _gather(known, mine, num_windows=len(windows), todo=todo, ranks=ranks)
    num_bad = int((~np.isfinite(nats)).sum())
    if num_bad:
        raise ScoringError(
            f"the loss of {num_bad:,} of {len(nats):,} windows is not finite",
            hint="the checkpoint is damaged, or overflows in its precision",
        )
    return nats


def _own_notes(path: Path) -> IO[bytes]:
    """The file of notes, open behind its last whole line."""
    recover(path)
    return path.open("ab")


def _gather(
    known: dict[int, float],
    mine: set[int],
    *,
    num_windows: int,
    todo: Sequence[Sequence[int]],
    ranks: Ranks,
) -> Floats:
    """All windows' nats: what was known before counts once, and the others where they were made."""
    is_new = {index for batch in todo for index in batch}
    nats = np.zeros(num_windows)
    for index, value in known.items():
        if index in mine or (ranks.is_first and index not in is_new):
            nats[index] = value
    return ranks.sum(nats)


def _read_notes(notes: Path) -> dict[int, float]:
    """What every process noted in an earlier run; damaged lines are forgotten."""
    known: dict[int, float] = {}
    for file in sorted(notes.glob("nats.*.jsonl")):
        for entry in read_sealed(file):
            known.update(zip(entry["windows"], entry["nats"], strict=True))
    return known


@torch.inference_mode()
def _score_batch(
    model: Any, documents: Sequence[TokenDocument], windows: Sequence[Window]
) -> list[float]:
    """The nats of each window of one batch, summed in float64."""
    ids_BT, mask_BT = _pad_right(documents, windows)
    logits_BTV = model(
        input_ids=ids_BT.to(model.device),
        attention_mask=mask_BT.to(model.device),
        use_cache=False,
    ).logits
    return [
        _window_nats(logits_TV, documents[window.document], window)
        for logits_TV, window in zip(logits_BTV, windows, strict=True)
    ]


def _window_nats(logits_TV: Tensor, document: TokenDocument, window: Window) -> float:
    # One window at a time in float32: a batch of a large vocabulary would need gigabytes.
    first, last = window.first_target, window.end
    predicted_TV = logits_TV[first - 1 - window.start : last - 1 - window.start].float()
    targets_T = torch.from_numpy(document.ids_T[first:last].astype(np.int64))
    is_counted_T = torch.from_numpy(document.is_counted_T[first:last])
    nats_T = torch.nn.functional.cross_entropy(
        predicted_TV, targets_T.to(predicted_TV.device), reduction="none"
    )
    return float(nats_T.double().cpu()[is_counted_T].sum())


def _pad_right(
    documents: Sequence[TokenDocument], windows: Sequence[Window]
) -> tuple[Tensor, Tensor]:
    """Token ids and mask (1 on tokens, 0 on padding), both (B, T)."""
    longest = max(window.num_inputs for window in windows)
    ids_BT = torch.zeros((len(windows), longest), dtype=torch.int64)
    mask_BT = torch.zeros_like(ids_BT)
    for row, window in enumerate(windows):
        ids_T = documents[window.document].ids_T[window.start : window.end - 1]
        ids_BT[row, : len(ids_T)] = torch.from_numpy(ids_T.astype(np.int64))
        mask_BT[row, : len(ids_T)] = 1
    return ids_BT, mask_BT

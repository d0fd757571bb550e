"""A batch that is still being written, on disk: a killed run goes on in its middle.

The tokens alone would not do. Reading them anew, all at once, gives logits with other last bits
than reading them one by one did, and now and then another draw. So the attention cache is kept,
too. It only grows, so each part holds columns that came since the part before it; ``rows.pt`` says
how many parts count and holds all the rest. It is written last and removed first.
"""

import hashlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sluice.disk_errors import explain_disk_error
from sluice.engines.cache_columns import column_bytes, fill, take_columns
from sluice.engines.decoding import Batch, Rows
from sluice.engines.engine import Unfinished
from sluice.logs import get_logger
from sluice.tensor_files import read_progress, write_tensors

logger = get_logger(__name__)

SAVE_EVERY_S = 30.0
"""How often. With the time of a forward pass and of the writing it mostly stays below a minute."""
LEAST_FREE_BYTES = 2 << 30
"""What notes leave free on their disk."""

# Writing may take a tenth of the time, even where a GPU writes gigabytes of cache in a minute.
_PAUSE_PER_SAVE = 10
# Each part is copied to memory before it is written.
_COLUMNS_OF_A_PART = 16
_STATE = "rows.pt"


class BatchNotes:
    """The notes of a run, one batch after the other.

    Args:
        unfinished: where they are kept.
    """

    _rows: Rows

    def __init__(self, unfinished: Unfinished) -> None:
        self._unfinished = unfinished
        self._has_room = True
        self._folder = unfinished.folder / "none"

    def begin(self, batch: Batch, rows: Rows) -> None:
        """Takes up a batch where an interrupted run noted it last, or at its start.

        Args:
            batch: what is to be written; notes of another batch, or of a model in another
                precision, are never used.
            rows: the same batch at its start.
        """
        key = repr((batch, rows.device.type, rows.dtype))
        self._folder = self._unfinished.folder / hashlib.sha256(key.encode()).hexdigest()[:16]
        self._rows = rows
        self._num_parts = 0
        self._num_columns = 0  # in these parts
        self._due_at = time.monotonic() + SAVE_EVERY_S
        if (self._folder / _STATE).is_file() and not self._take_up():
            # It must never stand beside parts that are not its own.
            (self._folder / _STATE).unlink()

    def save_if_due(self) -> None:
        """Notes the batch, if it is time. A disk without room for that does not end the run."""
        began = time.monotonic()
        if not self._has_room or not self._rows.is_by_columns or began < self._due_at:
            return
        try:
            self._save()
            self._unfinished.on_saved()
        except (OSError, RuntimeError) as error:
            explained = explain_disk_error(error)
            if explained is None:
                raise
            self._stop(explained.what)
            self.forget()
        ended = time.monotonic()
        self._due_at = ended + max(SAVE_EVERY_S, _PAUSE_PER_SAVE * (ended - began))

    def drop(self) -> None:
        """Removes the notes of this batch: it does not fit into the memory."""
        (self._folder / _STATE).unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def forget(self) -> None:
        """Removes the notes of all batches: they are finished."""
        for state in self._unfinished.folder.glob(f"*/{_STATE}"):
            state.unlink(missing_ok=True)
        shutil.rmtree(self._unfinished.folder, ignore_errors=True)

    def _take_up(self) -> bool:
        """Restores the rows; False where the notes are damaged."""
        kept = read_progress(self._folder / _STATE)
        if kept is None:
            return False
        parts: list[dict[str, Any]] = []
        for number in range(kept["num_parts"]):
            part = read_progress(self._part(number), mmap=True)
            if part is None:
                return False
            parts.append(part)
        rows = self._rows
        self._num_parts, self._num_columns = kept["num_parts"], kept["num_columns"]
        rows.num_columns = kept["num_columns"]
        rows.written, rows.has_ended = kept["written"], kept["has_ended"]
        if kept["logits"] is not None:
            rows.lay_out(kept["alive"])
            rows.logits_BV = kept["logits"].to(rows.device)
        wanted = {"prompts": rows.prompts_in_cache, "rows": rows.alive}
        columns = [
            (part["layers"], [part["numbers"].index(number) for number in wanted[part["of"]]])
            for part in parts
        ]
        fill(rows.cache, columns, num_columns=rows.num_columns, device=rows.device)
        logger.info(
            "going on in the middle of a batch of %d completions: %s",
            *(len(rows.written), rows.describe()),
        )
        return True

    def _save(self) -> None:
        rows = self._rows
        self._folder.mkdir(parents=True, exist_ok=True)
        spans = list(self._new_spans())
        needed = column_bytes(rows.cache) * sum(
            len(numbers) * (last - first) for _, numbers, _, first, last in spans
        )
        if shutil.disk_usage(self._folder).free < needed + LEAST_FREE_BYTES:
            self._stop(f"{self._folder} has no room for {needed / 1e9:,.1f} GB of unfinished work")
            return
        for of, numbers, places, first, last in spans:
            layers = take_columns(
                rows.cache, places, first=first, last=last, num_columns=rows.num_columns
            )
            part = {"of": of, "numbers": numbers, "layers": layers}
            write_tensors(self._part(self._num_parts), part)
            self._num_parts += 1
        self._num_columns = rows.num_columns
        kept = {
            "num_parts": self._num_parts,
            "num_columns": rows.num_columns,
            "alive": rows.alive,
            "written": rows.written,
            "has_ended": rows.has_ended,
            "logits": None if rows.logits_BV is None else rows.logits_BV.cpu(),
        }
        write_tensors(self._folder / _STATE, kept)

    def _new_spans(self) -> Iterator[tuple[str, list[int], list[int], int, int]]:
        """What the next parts are to hold: of prompts each once, of what was written each row.

        Yields ("prompts" or "rows", their numbers, their rows in the cache, first column, column
        behind the last).
        """
        rows, first, last = self._rows, self._num_columns, self._rows.num_columns
        edge = min(max(first, rows.num_prompt_columns), last)
        prompts = rows.prompts_in_cache
        numbers = sorted(set(prompts))
        places = [prompts.index(number) for number in numbers]
        for start, stop in _split(first, edge):
            yield "prompts", numbers, places, start, stop
        for start, stop in _split(edge, last):
            yield "rows", rows.alive, list(range(len(rows.alive))), start, stop

    def _stop(self, why: str) -> None:
        logger.warning("%s; from now on an interrupted batch would start anew", why)
        self._has_room = False

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:06d}.pt"


def _split(first: int, last: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last, _COLUMNS_OF_A_PART):
        yield start, min(start + _COLUMNS_OF_A_PART, last)

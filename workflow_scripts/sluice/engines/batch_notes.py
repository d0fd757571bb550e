"""A batch that is still being written, on disk: a killed run goes on in its middle.

The tokens alone would not do. Reading them anew, all at once, gives logits with other last bits
than reading them one by one did, and now and then another draw. So the attention cache is kept,
too. It only grows, so each part holds the columns since the part before it; ``rows.pt`` holds all
the rest, and is written last.
"""

import hashlib
import shutil
import time
from pathlib import Path
from typing import Any

from sluice.disk_errors import explain_disk_error
from sluice.engines.cache_columns import (
    can_be_kept,
    fill,
    select_rows,
    take_columns,
    take_windows,
)
from sluice.engines.decoding import Batch, Rows
from sluice.engines.engine import Unfinished
from sluice.logs import get_logger
from sluice.tensor_files import read_progress, write_tensors

logger = get_logger(__name__)

SAVE_EVERY_S = 30.0
"""How often. One forward pass and the writing come on top; together they stay below a minute."""


class BatchNotes:
    """The notes of one batch.

    Args:
        unfinished: where notes are kept.
        batch: what is to be written; notes of another batch are never used.
        rows: the same batch at its start.
    """

    def __init__(self, unfinished: Unfinished, batch: Batch, rows: Rows) -> None:
        self._folder = unfinished.folder / hashlib.sha256(repr(batch).encode()).hexdigest()[:16]
        self._on_saved = unfinished.on_saved
        self._rows = rows
        self._num_parts = 0
        self._num_columns = 0  # in these parts
        self._is_on = can_be_kept(rows.cache)
        self._saved_at = time.monotonic()

    def take_up(self) -> None:
        """Brings the rows to where an interrupted run noted them last."""
        file = self._folder / "rows.pt"
        kept = read_progress(file) if file.is_file() else None
        if kept is None:
            return
        parts: list[dict[str, Any]] = []
        for number in range(kept["num_parts"]):
            part = read_progress(self._part(number), mmap=True)
            if part is None:
                return
            parts.append(part)
        self._restore(kept, parts)
        logger.info(
            "going on with a batch of %d completions, where %d tokens each are there",
            *(len(self._rows.written), self._rows.num_steps),
        )

    def save_if_due(self) -> None:
        """Notes the batch, if it is time. A disk that has no room for that does not end the run."""
        if not self._is_on or time.monotonic() - self._saved_at < SAVE_EVERY_S:
            return
        try:
            self._save()
        except (OSError, RuntimeError) as error:
            explained = explain_disk_error(error)
            if explained is None:
                raise
            logger.warning(
                "%s; unfinished batches are not noted: an interrupted one starts anew",
                explained.what,
            )
            self._is_on = False
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        self._on_saved()
        self._saved_at = time.monotonic()

    def _save(self) -> None:
        rows = self._rows
        for part in self._new_parts():
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
            "windows": take_windows(rows.cache),
        }
        write_tensors(self._folder / "rows.pt", kept)

    def _new_parts(self) -> list[dict[str, Any]]:
        """The columns since the last part: of prompts once each, of what was written by row."""
        rows, first, last = self._rows, self._num_columns, self._rows.num_columns
        edge = min(max(first, rows.num_prompt_columns), last)
        parts = []
        if first < edge:
            prompts = rows.prompts_in_cache
            numbers = sorted(set(prompts))
            places = [prompts.index(number) for number in numbers]
            layers = take_columns(rows.cache, places, first=first, last=edge)
            parts.append({"of": "prompts", "numbers": numbers, "layers": layers})
        if edge < last:
            places = list(range(len(rows.alive)))
            layers = take_columns(rows.cache, places, first=edge, last=last)
            parts.append({"of": "rows", "numbers": rows.alive, "layers": layers})
        return parts

    def _restore(self, kept: dict[str, Any], parts: list[dict[str, Any]]) -> None:
        rows, device = self._rows, self._rows.device
        self._num_parts, self._num_columns = kept["num_parts"], kept["num_columns"]
        rows.num_columns = kept["num_columns"]
        rows.written, rows.has_ended = kept["written"], kept["has_ended"]
        if kept["logits"] is not None:
            rows.lay_out(kept["alive"])
            rows.logits_BV = kept["logits"].to(device)
        wanted = {"prompts": rows.prompts_in_cache, "rows": rows.alive}
        columns = [
            select_rows(part["layers"], [part["numbers"].index(n) for n in wanted[part["of"]]])
            for part in parts
        ]
        fill(rows.cache, columns, kept["windows"], num_columns=rows.num_columns, device=device)

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:06d}.pt"


def forget_batches(unfinished: Unfinished) -> None:
    """Removes all notes: the batches are finished."""
    shutil.rmtree(unfinished.folder, ignore_errors=True)

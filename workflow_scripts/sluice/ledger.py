"""Row conservation: every row a step reads is either kept or rejected for a named reason.

The counts are taken at different places (read, keep, reject) so that the check can fail.
"""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from typing_extensions import TypedDict

from sluice.files import atomic_path, write_json
from sluice.forms import Count, Form, Name, read_artifact


class _Entry(TypedDict):
    step: Name
    dataset: Name
    rows_in: Count
    rows_kept: Count
    rejected: dict[Name, Count]


_LEDGER = Form(_Entry, "ledger", "the step that it belongs to")


class Ledger:
    """Counts rows in, kept and rejected by reason, and writes the rejected ones beside.

    Use as a context manager: on a clean exit the books are checked and both files appear; on an
    error neither does.

    Args:
        step: the rule's name.
        dataset: the dataset's name.
        path: the ledger file, JSON.
        rejected_path: JSON Lines of ``{"reason", "where", "detail", "row"}``, or None for none.
    """

    def __init__(
        self, step: str, dataset: str, *, path: Path, rejected_path: Path | None = None
    ) -> None:
        self.step = step
        self.dataset = dataset
        self.path = Path(path)
        self.rows_in = 0
        self.rows_kept = 0
        self.rejected: Counter[str] = Counter()
        self._rejected_path = rejected_path
        self._atomic = atomic_path(rejected_path) if rejected_path else None
        self._stream: IO[str] | None = None

    def __enter__(self) -> Self:
        if self._atomic:
            self._stream = open(self._atomic.__enter__(), "w", encoding="utf-8", newline="\n")
        return self

    def read(self, num_rows: int = 1) -> None:
        """Counts rows that came in."""
        self.rows_in += num_rows

    def keep(self, num_rows: int = 1) -> None:
        """Counts rows that went out."""
        self.rows_kept += num_rows

    def reject(self, reason: str, *, row: Any, where: str = "", detail: str = "") -> None:
        """Counts one rejected row and writes it, with the reason, to the rejected file.

        Args:
            reason: one of the step's named reasons, snake_case.
            row: anything JSON can hold; what the source held.
            where: line number or id in the source.
            detail: what exactly was wrong, such as the matched span.
        """
        self.rejected[reason] += 1
        if self._stream:
            entry = {"reason": reason, "where": where, "detail": detail, "row": row}
            # ASCII keeps lone surrogates, which UTF-8 cannot hold, readable in the file.
            # A Parquet row may hold bytes, which JSON cannot: they are shown as Python shows them.
            self._stream.write(json.dumps(entry, ensure_ascii=True, default=repr) + "\n")

    def count_rejected(self, reason: str) -> None:
        """Counts a rejected row without writing it: for cuts that most rows fall below."""
        self.rejected[reason] += 1

    @property
    def num_rejected(self) -> int:
        """Rows rejected so far, for whatever reason."""
        return sum(self.rejected.values())

    def reasons(self) -> str:
        """Counts by reason: ``bad_json 10, over_long 2``."""
        return format_reasons(self.rejected)

    def save_rejected(self, path: Path) -> None:
        """Keeps the rejected rows so far elsewhere, for a step that is about to fail."""
        assert self._stream is not None, "no rejected file is being written"
        self._stream.flush()
        with atomic_path(path) as temporary:
            shutil.copyfile(self._stream.name, temporary)

    def check(self) -> None:
        """Asserts that rows in = kept + rejected; a failure is a bug of ours."""
        assert self.rows_in == self.rows_kept + self.num_rejected, (
            f"{self.step} of {self.dataset} lost rows: {self.rows_in} in, {self.rows_kept} kept, "
            f"{self.num_rejected} rejected"
        )

    def summary(self) -> str:
        """One line for the log: ``2,000 rows in, 1,990 kept, 10 rejected (bad_json 10)``."""
        tail = f" ({self.reasons()})" if self.rejected else ""
        return (
            f"{self.rows_in:,} rows in, {self.rows_kept:,} kept, {self.num_rejected:,} rejected"
            f"{tail}"
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stream:
            self._stream.close()
        try:
            if kind is None:
                self.check()
        except AssertionError as failure:
            kind, error, traceback = type(failure), failure, failure.__traceback__
            raise
        finally:
            if self._atomic:
                self._atomic.__exit__(kind, error, traceback)
        if kind is None:
            write_json(
                self.path,
                {
                    "step": self.step,
                    "dataset": self.dataset,
                    "rows_in": self.rows_in,
                    "rows_kept": self.rows_kept,
                    "rejected": dict(sorted(self.rejected.items())),
                },
            )


def format_reasons(rejected: Mapping[str, int]) -> str:
    """Counts by reason: ``bad_json 10, over_long 2``."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(rejected.items()))


def read_ledger(path: Path) -> dict[str, Any]:
    """Reads a ledger file: step, dataset, rows_in, rows_kept, rejected (reason -> count).

    Raises:
        DataError: the file is missing or no ledger; whether its rows add up is not looked at.
    """
    values = read_artifact(path, _LEDGER)
    return {**values}

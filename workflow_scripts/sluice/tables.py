"""Parquet and CSV files, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import DataError
from sluice.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd


def write_parquet(path: Path, table: pa.Table) -> None:
    """Writes a table; the same table gives the same bytes."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_parquet(path: Path, *, columns: list[str] | None = None) -> pa.Table:
    """Reads a Parquet file, or some of its columns.

    Raises:
        DataError: the file is missing, is no Parquet file, or lacks a column.
    """
    try:
        table = pq.read_table(path, columns=columns)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}") from None
    missing = sorted(set(columns or []) - set(table.column_names))
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}")
    return table


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table as CSV with six digits behind the point; the same table, the same bytes."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")

"""Parquet and CSV files, written whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import DataError
from sluice.files import atomic_path, read_text
from sluice.forms import LARGEST

if TYPE_CHECKING:
    import pandas as pd


_HINT = "it is damaged or of another version: make it again with the step that wrote it"


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
        # Text that is no UTF-8 would be found by whoever looks at it.
        table.validate(full=True)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}") from None
    missing = sorted(set(columns or []) - set(table.column_names))
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}")
    return table


def parquet_columns(path: Path) -> list[str]:
    """The names of a Parquet file's columns.

    Raises:
        DataError: the file is missing, or is no Parquet file.
    """
    try:
        return list(pq.read_schema(path).names)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}") from None


def read_number_table(
    path: Path,
    *,
    numbers: Sequence[str],
    texts: Sequence[str] = (),
    separator: str = ",",
    empty: Sequence[str] = ("",),
) -> pd.DataFrame:
    """Reads a small CSV file, some of whose columns hold numbers.

    Args:
        path: the file, with a header.
        numbers: columns of numbers; a cell may be empty.
        texts: columns that have to be there, too, and stay text: NA is a name, and so is 7.
        separator: between two cells.
        empty: what stands in an empty cell of a column of numbers.
    Raises:
        DataError: the file is missing, is no such table, or a column is missing or holds something
            else than numbers.
    """
    import pandas as pd

    text = read_text(path)
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=dict.fromkeys(texts, str),
            keep_default_na=False,
            na_values={name: list(empty) for name in numbers},
        )
    except ValueError as error:  # pandas' own errors are such
        raise DataError(f"{path} is no table: {error}", hint=_HINT) from None
    missing = [name for name in (*texts, *numbers) if name not in table.columns]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}", hint=_HINT)
    for name in numbers:
        if not (holds_numbers(table[name]) or table.empty):
            raise DataError(f"{path}: the column {name} holds no numbers", hint=_HINT)
    return table


def holds_numbers(column: pd.Series) -> bool:
    """Whether all of it are numbers that further steps can add up, or nothing."""
    if column.dtype.kind not in "iuf":
        return False
    # In float32 the limit itself would be infinite.
    return bool((column.astype("float64").abs().fillna(0) <= LARGEST).all())


def write_csv(path: Path, table: pd.DataFrame, *, p_values: Sequence[str] = ()) -> None:
    """Writes a table as CSV with six digits behind the point; the same table, the same bytes.

    Args:
        path: the file.
        table: what is written.
        p_values: columns of numbers that may be tiny: six significant digits.
    """
    table = table.assign(**{name: table[name].map("{:.6g}".format) for name in p_values})
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")

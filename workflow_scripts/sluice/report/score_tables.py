"""The tables of evaluate_scores, read back."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sluice.errors import DataError, shorten_ids
from sluice.tables import read_number_table


def read_auroc(paths: Sequence[Path]) -> pd.DataFrame:
    """Tables of AUROC by score and flaw kind, as one.

    Raises:
        DataError: a file is missing, or is no such table.
    """
    numbers = ("auroc", "low", "high")
    return pd.concat(
        [read_number_table(path, texts=("score", "flaw"), numbers=numbers) for path in paths]
    )


def read_clean_share(paths: Sequence[Path]) -> pd.DataFrame:
    """Tables of the share of clean samples, as one.

    Raises:
        DataError: a file is missing, or is no such table, or a choice stands in them twice.
    """
    numbers = ("num_kept", "clean_share", "low", "high")
    table = pd.concat(
        [read_number_table(path, texts=("score",), numbers=numbers) for path in paths]
    )
    names = table["score"].astype(str)
    twice = names[names.str.startswith("(") & names.duplicated()]
    if len(twice):
        raise DataError(
            f"{twice.iloc[0]} stands more than once",
            where=shorten_ids([str(path) for path in paths]),
            hint="make it again with evaluate_scores",
        )
    return table

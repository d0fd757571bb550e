"""Scores against a known truth: AUROC by score and flaw kind, and how clean the best are."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from sluice.auroc import auroc
from sluice.errors import DataError
from sluice.intervals import Floats, share
from sluice.tables import read_parquet

ALL_FLAWS = "all"
KEPT_SHARES = (0.05, 0.1, 0.3, 0.5)

_LAYER = "gate_layer_"
_NOT_SCORES = {"id", "dataset", "num_tokens", "num_response_tokens", "status"}


def read_labelled_scores(scores: Sequence[Path], truths: Sequence[Path]) -> pd.DataFrame:
    """The scored samples with ``is_flawed`` and ``flaw`` beside their scores.

    Args:
        scores: files of score_samples.
        truths: Parquet files with ``id``, ``is_flawed`` and ``flaw`` (null where clean).
    Raises:
        DataError: there is no truth, or a scored sample is not in it.
    """
    if not truths:
        raise DataError(
            "no dataset has a known truth",
            hint="datasets.<name>.truth: a Parquet file with id, is_flawed and flaw",
        )
    table: pd.DataFrame = pa.concat_tables([read_parquet(path) for path in scores]).to_pandas()
    columns = ["id", "is_flawed", "flaw"]
    truth = pd.concat([read_parquet(path, columns=columns).to_pandas() for path in truths])
    table = table[table["status"] == "ok"]
    labelled = table.merge(truth, on="id", how="left", validate="one_to_one")
    num_missing = int(labelled["is_flawed"].isna().sum())
    if num_missing:
        raise DataError(f"{num_missing:,} of {len(labelled):,} scored samples have no known truth")
    return labelled.assign(is_flawed=labelled["is_flawed"].astype(bool))


def score_names(table: pd.DataFrame, *, with_layers: bool = False) -> list[str]:
    """The score columns that hold a number for every sample; those of single layers on request."""
    numeric = table.select_dtypes("number").columns
    return [
        name
        for name in numeric
        if name not in _NOT_SCORES
        and (with_layers or not name.startswith(_LAYER))
        and table[name].notna().all()
    ]


def badness(table: pd.DataFrame, score: str) -> Floats:
    """A score with its sign turned where high means good, so that the best samples are lowest."""
    values: Floats = table[score].to_numpy(dtype=np.float64)
    return -values if score == "quality" or score.startswith(_LAYER) else values


def auroc_table(labelled: pd.DataFrame) -> pd.DataFrame:
    """AUROC of each score, for all flaws together and for each kind against all clean samples.

    Returns:
        One row per score and flaw: ``score, flaw, num_flawed, num_clean, auroc, low, high`` (95 %
        DeLong interval), best score first.
    """
    is_clean = ~labelled["is_flawed"].to_numpy()
    kinds = sorted(labelled.loc[~is_clean, "flaw"].unique())
    rows = []
    for score in score_names(labelled, with_layers=True):
        values = badness(labelled, score)
        for flaw in [ALL_FLAWS, *kinds]:
            is_of_kind = ~is_clean if flaw == ALL_FLAWS else (labelled["flaw"] == flaw).to_numpy()
            found = auroc(values[is_of_kind], values[is_clean])
            rows.append(
                {
                    "score": score,
                    "flaw": flaw,
                    "num_flawed": int(is_of_kind.sum()),
                    "num_clean": int(is_clean.sum()),
                    "auroc": found.value,
                    "low": found.low,
                    "high": found.high,
                }
            )
    table = pd.DataFrame(rows)
    overall = table[table["flaw"] == ALL_FLAWS].set_index("score")["auroc"]
    order = table["score"].map(overall)
    return table.assign(order=-order).sort_values("order", kind="stable").drop(columns="order")


def clean_share_table(
    labelled: pd.DataFrame, *, choices: Mapping[str, Collection[str]]
) -> pd.DataFrame:
    """How many of the best samples of each dataset are clean, by score and by how many are kept.

    Args:
        labelled: scores with the truth beside them.
        choices: sets of ids that were chosen some other way, by name, for rows of their own.
    Returns:
        One row per choice, then one per score and kept share: ``score, kept, num_kept, num_clean,
        clean_share, low, high`` (95 % Wilson interval). Choices stand in brackets; ``(all)`` is
        every sample.
    """
    is_flawed = labelled["is_flawed"]
    rows = [_clean_row("(all)", 1.0, is_flawed)]
    for name, ids in choices.items():
        is_chosen = labelled["id"].isin(list(ids))
        rows.append(_clean_row(f"({name})", is_chosen.mean(), is_flawed[is_chosen]))
    for score in score_names(labelled):
        ordered = labelled.assign(badness=badness(labelled, score)).sort_values(["badness", "id"])
        place = ordered.groupby("dataset").cumcount()
        size = ordered.groupby("dataset")["id"].transform("size")
        for kept in KEPT_SHARES:
            # Rounding first, since 0.05 * 2000 is 100.00000000000001 in binary.
            is_kept = place < np.ceil((kept * size).round(9))
            rows.append(_clean_row(score, kept, ordered.loc[is_kept, "is_flawed"]))
    return pd.DataFrame(rows)


def _clean_row(score: str, kept: float, is_flawed: pd.Series) -> dict[str, object]:
    num_kept, num_clean = len(is_flawed), int((~is_flawed).sum())
    found = share(num_clean, num_kept)
    return {
        "score": score,
        "kept": kept,
        "num_kept": num_kept,
        "num_clean": num_clean,
        "clean_share": found.value,
        "low": found.low,
        "high": found.high,
    }

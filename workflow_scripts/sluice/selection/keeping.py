"""Scores and samples -> the kept samples with their scores and ranks, best first."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError
from pydantic_core import from_json

from sluice.errors import DataError, SelectionError, shorten_ids
from sluice.files import atomic_path
from sluice.ledger import Ledger
from sluice.logs import get_logger
from sluice.records import SelectedSample, iterate_lines, parse_sample, write_samples
from sluice.selection.columns import layer_columns, quality_of
from sluice.selection.ranking import Indices
from sluice.tables import read_parquet

logger = get_logger(__name__)

_NOT_SCORES = {"id", "dataset", "num_tokens", "num_response_tokens", "status"}
_NEEDED = {"id", "dataset", "num_tokens", "quality", "status"}


def read_scores(paths: Sequence[Path]) -> pa.Table:
    """One or more score files as one table; quality is scaled anew over several.

    Raises:
        DataError: a file is missing or is no score file.
        SelectionError: two files share a sample, or have other layers.
    """
    tables = [_read_table(path) for path in paths]
    if len({tuple(table.column_names) for table in tables}) > 1:
        raise SelectionError(
            "the score files have different columns", expected="scores of one model"
        )
    table = pa.concat_tables(tables)
    if len(tables) > 1:
        ids = table["id"]
        if len(ids.unique()) != len(ids):
            raise SelectionError("two score files hold the same sample")
        is_ok = np.asarray(table["status"]) == "ok"
        layers = [table[name].to_numpy(zero_copy_only=False) for name in layer_columns(table)]
        quality = quality_of(np.stack(layers, axis=1), is_ok=is_ok)
        place = table.column_names.index("quality")
        table = table.set_column(place, "quality", pa.array(quality, mask=np.isnan(quality)))
    return table


def _read_table(path: Path) -> pa.Table:
    table = read_parquet(path)
    missing = sorted(_NEEDED - set(table.column_names))
    if missing:
        raise DataError(
            f"{path} lacks the columns {', '.join(missing)}", expected="a file of score_samples"
        )
    return table


def keep_selected(
    scores: pa.Table,
    rows: Indices,
    samples: Path,
    *,
    dataset: str,
    output: Path,
    ledger: Ledger,
) -> int:
    """Writes the kept samples of one dataset, best first, and returns how many.

    Args:
        scores: the table that was selected from; it may hold other datasets too.
        rows: its kept rows in the order of their ranks.
        samples: the dataset's canonical samples; only kept ones are checked in full.
        dataset: the dataset's name.
        output: JSON Lines to write.
        ledger: every line of ``samples`` is counted as kept, below_cut, not_scored or by status.
    Raises:
        DataError: a kept sample is not in ``samples``, or stands there twice.
        SelectionError: the scores hold no sample of this dataset.
    """
    statuses = _statuses(scores, dataset)
    if not statuses:
        raise SelectionError(
            f"the scores hold no sample of dataset '{dataset}'",
            expected=f"one of: {', '.join(sorted(scores['dataset'].unique().to_pylist()))}",
        )
    chosen = _chosen(scores, rows, dataset)
    found: dict[str, SelectedSample] = {}
    for number, sample_id, line in _lines_with_ids(samples):
        ledger.read()
        if sample_id in found:
            raise DataError(f"line {number:,} repeats the id {sample_id}", where=str(samples))
        if sample_id in chosen:
            rank, own_scores = chosen[sample_id]
            sample = parse_sample(line, number=number, path=samples)
            found[sample_id] = SelectedSample(**dict(sample), scores=own_scores, rank=rank)
            ledger.keep()
        else:
            status = statuses.get(sample_id, "not_scored")
            ledger.count_rejected("below_cut" if status == "ok" else status)
    missing = sorted(set(chosen) - set(found))
    if missing:
        raise DataError(
            f"{len(missing)} selected samples are not in {samples} ({shorten_ids(missing)})",
            hint="the scores are of another version of the samples; score them anew",
        )
    best_first: list[SelectedSample] = sorted(found.values(), key=lambda sample: sample.rank)
    return write_samples(output, best_first)


def _statuses(scores: pa.Table, dataset: str) -> dict[str, str]:
    own = np.asarray(scores["dataset"]) == dataset
    ids = scores["id"].filter(pa.array(own)).to_pylist()
    return dict(zip(ids, scores["status"].filter(pa.array(own)).to_pylist(), strict=True))


def _chosen(scores: pa.Table, rows: Indices, dataset: str) -> dict[str, tuple[int, dict[str, Any]]]:
    """id -> (rank, scores) of the dataset's kept samples, without the gates of single layers."""
    kept = scores.drop_columns(layer_columns(scores)).take(pa.array(rows))
    own = np.flatnonzero(np.asarray(kept["dataset"]) == dataset)
    kept = kept.take(pa.array(own))
    columns = {
        name: kept[name].to_pylist() for name in kept.column_names if name not in _NOT_SCORES
    }
    return {
        sample_id: (
            int(own[n]) + 1,
            {name: column[n] for name, column in columns.items() if column[n] is not None},
        )
        for n, sample_id in enumerate(kept["id"].to_pylist())
    }


def _lines_with_ids(samples: Path) -> Iterator[tuple[int, str, bytes]]:
    """Every line with its number and its sample's id, found without building the sample."""
    for number, line in iterate_lines(samples):
        try:
            sample_id = from_json(line)["id"]
        except (ValueError, LookupError, TypeError):
            sample_id = None
        if not isinstance(sample_id, str):
            # Says what is wrong with the line.
            sample_id = parse_sample(line, number=number, path=samples).id
        yield number, sample_id, line


def write_selection(
    step: str,
    scores: pa.Table,
    rows: Indices,
    samples: Path,
    *,
    dataset: str,
    output: Path,
    ledger_path: Path,
) -> int:
    """Writes the kept samples of one dataset and the step's ledger; returns how many.

    Args:
        step: the rule's name.
        scores: the table that was selected from.
        rows: its kept rows in the order of their ranks.
        samples: the dataset's canonical samples.
        dataset: the dataset's name.
        output: JSON Lines to write.
        ledger_path: row counts to write.
    """
    with Ledger(step, dataset, path=ledger_path) as ledger:
        count = keep_selected(scores, rows, samples, dataset=dataset, output=output, ledger=ledger)
    logger.info("%s: %s", dataset, ledger.summary())
    return count


def merge_selected(paths: Sequence[Path], *, output: Path, ledger_path: Path) -> int:
    """Puts the kept samples of all datasets into one file: all first ranks, all second ranks ...

    The file is read back with ``datasets`` before it takes its name.

    Raises:
        DataError: a line is no selected sample.
        SelectionError: two samples share an id, or there is no sample.
    """
    lines: list[tuple[int, str, bytes]] = []
    with Ledger("merge_selected", "all", path=ledger_path) as ledger:
        for path in paths:
            for number, line in iterate_lines(path):
                sample = _parse_selected(line, number=number, path=path)
                lines.append((sample.rank, sample.id, line))
                ledger.read()
        times = Counter(sample_id for _, sample_id, _ in lines)
        twice = sorted(sample_id for sample_id, count in times.items() if count > 1)
        if not lines or twice:
            what = f"ids occur twice: {shorten_ids(twice)}" if twice else "no sample was selected"
            raise SelectionError(what, where=", ".join(str(path) for path in paths))
        with atomic_path(output) as temporary:
            temporary.write_bytes(b"".join(line + b"\n" for _, _, line in sorted(lines)))
            _read_back(temporary, num_rows=len(lines))
        ledger.keep(len(lines))
    return len(lines)


def _parse_selected(line: bytes, *, number: int, path: Path) -> SelectedSample:
    try:
        return SelectedSample.model_validate_json(line)
    except ValidationError:
        raise DataError(
            f"line {number:,} is not a selected sample",
            where=str(path),
            expected="a file of select_samples or select_random",
        ) from None


def _read_back(path: Path, *, num_rows: int) -> None:
    """Asserts that the written file is what `datasets` users expect."""
    import tempfile

    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        found = load_dataset("json", data_files=str(path), split="train", cache_dir=cache)
        assert found.num_rows == num_rows, f"{num_rows} rows written, {found.num_rows} read back"
        assert {"messages", "dataset", "id"} <= set(found.column_names)

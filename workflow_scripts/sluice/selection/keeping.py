"""Scores and samples -> the kept samples with their scores and ranks, best first."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic_core import from_json

from sluice.errors import DataError, SelectionError, shorten_ids
from sluice.files import atomic_path
from sluice.ledger import Ledger
from sluice.logs import get_logger
from sluice.records import Sample, SelectedSample, iterate_lines, write_samples
from sluice.selection.columns import layer_columns, quality_of
from sluice.selection.ranking import Indices
from sluice.tables import read_parquet

logger = get_logger(__name__)

_NOT_SCORES = {"id", "dataset", "num_tokens", "num_response_tokens", "status"}
# Our own files hold messages, dataset, id in this order, and no unescaped quote can stand earlier.
_ID = re.compile(rb'"dataset":"(?:[^"\\]|\\.)*","id":"((?:[^"\\]|\\.)*)"')


def read_scores(paths: Sequence[Path]) -> pa.Table:
    """One or more score files as one table; quality is scaled anew over several.

    Raises:
        DataError: a file is missing or is no score file.
        SelectionError: two files share a sample, or have other layers.
    """
    tables = [read_parquet(path) for path in paths]
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
        samples: the dataset's canonical samples; only kept ones are parsed.
        dataset: the dataset's name.
        output: JSON Lines to write.
        ledger: every line of ``samples`` is counted as kept, below_cut, not_scored or by status.
    Raises:
        DataError: a kept sample is not in ``samples``.
    """
    own = np.asarray(scores["dataset"].take(pa.array(rows))) == dataset
    rank_of_row = {int(row): rank for rank, row in enumerate(rows, start=1)}
    kept_rows = rows[own]
    ids = scores["id"].take(pa.array(kept_rows)).to_pylist()
    place = {sample_id: int(row) for sample_id, row in zip(ids, kept_rows, strict=True)}
    statuses = _statuses(scores, dataset)
    found: dict[str, SelectedSample] = {}
    for sample_id, line in _lines_by_id(samples):
        ledger.read()
        if sample_id in place:
            row = place[sample_id]
            found[sample_id] = _selected(line, scores.slice(row, 1), rank=rank_of_row[row])
            ledger.keep()
        else:
            status = statuses.get(sample_id, "not_scored")
            ledger.count_rejected("below_cut" if status == "ok" else status)
    missing = sorted(set(place) - set(found))
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


def _lines_by_id(samples: Path) -> Iterator[tuple[str, bytes]]:
    """Every line with its sample's id, found without parsing the messages where possible."""
    for _, line in iterate_lines(samples):
        match = _ID.search(line)
        text = match[1] if match else None
        if text is None or b"\\" in text:
            yield Sample.model_validate_json(line).id, line
        else:
            yield text.decode(), line


def _selected(line: bytes, row: pa.Table, *, rank: int) -> SelectedSample:
    names = [n for n in row.column_names if n not in _NOT_SCORES and not n.startswith("gate_layer")]
    scores = {name: row[name][0].as_py() for name in names}
    kept = {name: value for name, value in scores.items() if value is not None}
    return SelectedSample.model_validate({**from_json(line), "scores": kept, "rank": rank})


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
        SelectionError: two samples share an id, or there is no sample.
    """
    lines: list[tuple[int, str, bytes]] = []
    with Ledger("merge_selected", "all", path=ledger_path) as ledger:
        for path in paths:
            for _, line in iterate_lines(path):
                sample = SelectedSample.model_validate_json(line)
                lines.append((sample.rank, sample.id, line))
                ledger.read()
        ids = [sample_id for _, sample_id, _ in lines]
        if not lines or len(set(ids)) != len(ids):
            twice = sorted({i for i in ids if ids.count(i) > 1}) if lines else []
            what = f"ids occur twice: {shorten_ids(twice)}" if twice else "no sample was selected"
            raise SelectionError(what, where=", ".join(str(path) for path in paths))
        with atomic_path(output) as temporary:
            temporary.write_bytes(b"".join(line + b"\n" for _, _, line in sorted(lines)))
            _read_back(temporary, num_rows=len(lines))
        ledger.keep(len(lines))
    return len(lines)


def _read_back(path: Path, *, num_rows: int) -> None:
    """Asserts that the written file is what `datasets` users expect."""
    import tempfile

    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        found = load_dataset("json", data_files=str(path), split="train", cache_dir=cache)
        assert found.num_rows == num_rows, f"{num_rows} rows written, {found.num_rows} read back"
        assert {"messages", "dataset", "id"} <= set(found.column_names)

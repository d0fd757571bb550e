"""Any source -> canonical samples; what cannot be used is counted and kept beside."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sluice.data.formats import FORMATS, Resources, Row, RowProblem, detect_format
from sluice.errors import DataError
from sluice.files import atomic_path, read_text
from sluice.law_cases import read_articles
from sluice.ledger import Ledger
from sluice.logs import get_logger
from sluice.records import MAX_LINE_BYTES, Sample, check_storable
from sluice.settings.data import ConvertDataset, DatasetSource
from sluice.sources import SourceRow, read_hub, read_source

logger = get_logger(__name__)

_LOOKED_AT = 20


def convert_dataset(
    source: DatasetSource,
    *,
    dataset: str,
    settings: ConvertDataset,
    legal_prompt: Path,
    samples_path: Path,
    ledger_path: Path,
    rejected_path: Path,
    kept_on_failure: Path,
) -> None:
    """Writes the canonical samples of a dataset, its ledger and its rejected rows.

    A row's id is ``<dataset>_<n>``, n being its place in the source from 0, so that ids do not
    shift when another row is rejected. Canonical rows keep the id that they bring.

    Args:
        source: path or hub id, and format.
        dataset: the dataset's name.
        settings: limits.
        legal_prompt: the template that LawShift cases are put into.
        samples_path: canonical samples to write.
        ledger_path: row counts to write.
        rejected_path: rejected rows to write.
        kept_on_failure: where the rejected rows go when there are too many of them.
    Raises:
        DataError: no row is there, the format is not known, or too many rows cannot be used.
    """
    rows = _rows(source)
    first = list(islice(rows, _LOOKED_AT))
    if not first:
        raise DataError(f"dataset '{dataset}' holds no row", where=source.path or source.hub)
    name = source.format if source.format != "auto" else _detect(first)
    resources = Resources(_articles(source), read_text(legal_prompt))
    logger.info("%s: format %s", dataset, name)
    with (
        Ledger("convert_dataset", dataset, path=ledger_path, rejected_path=rejected_path) as ledger,
        atomic_path(samples_path) as temporary,
        open(temporary, "wb") as stream,
    ):
        for line in _converted(
            chain(first, rows), name, resources, dataset=dataset, settings=settings, ledger=ledger
        ):
            stream.write(line)
        if ledger.num_rejected > settings.max_rejected_share * ledger.rows_in:
            ledger.save_rejected(kept_on_failure)
            raise _too_many(ledger, settings, source=source, kept=kept_on_failure)
    logger.info("%s: %s", dataset, ledger.summary())


def _detect(first: list[SourceRow]) -> str:
    readable = [row.value for row in first if row.problem is None]
    if not readable:
        raise DataError(
            f"none of the first {len(first)} rows can be read: {first[0].problem}",
            where=first[0].where,
            hint="name the format (datasets.<name>.format) to have all rows counted by reason",
        )
    return detect_format(readable)


def _rows(source: DatasetSource) -> Iterator[SourceRow]:
    if source.path is not None and source.hub is None:
        return read_source(Path(source.path))
    if source.hub is not None and source.path is None:
        return read_hub(
            source.hub, revision=source.revision, subset=source.subset, split=source.hub_split
        )
    raise DataError("a dataset comes from exactly one of 'path' and 'hub'")


def _articles(source: DatasetSource) -> dict[str, str] | None:
    if source.articles is None:
        return None
    return read_articles(Path(source.articles))


def _converted(
    rows: Iterable[SourceRow],
    name: str,
    resources: Resources,
    *,
    dataset: str,
    settings: ConvertDataset,
    ledger: Ledger,
) -> Iterator[bytes]:
    ids: set[str] = set()
    for index, row in enumerate(rows):
        ledger.read()
        try:
            if row.problem is not None:
                raise RowProblem(row.problem, "the row cannot be read")
            line, sample_id = _line(
                row.value, name, resources, dataset=dataset, index=index, settings=settings
            )
            if sample_id in ids:
                raise RowProblem("duplicate_id", sample_id)
        except RowProblem as problem:
            ledger.reject(
                problem.reason,
                row=row.raw if row.problem else row.value,
                where=row.where,
                detail=problem.detail,
            )
            continue
        ids.add(sample_id)
        ledger.keep()
        yield line


def _line(
    value: Any,
    name: str,
    resources: Resources,
    *,
    dataset: str,
    index: int,
    settings: ConvertDataset,
) -> tuple[bytes, str]:
    if not isinstance(value, dict):
        raise RowProblem("wrong_type", f"the row is {type(value).__name__}, not an object")
    row = FORMATS[name][1](value, resources)
    roles = {message["role"] for message in row.messages if message["content"].strip()}
    for role in ("assistant", "user"):
        if role not in roles:
            raise RowProblem(f"no_{role}_text", f"no {role} message with text")
    if sum(len(message["content"]) for message in row.messages) > settings.max_chars:
        raise RowProblem("over_long", f"more than {settings.max_chars:,} characters")
    fields: dict[str, Any] = {
        "messages": row.messages,
        "dataset": dataset,
        "id": _sample_id(row, dataset=dataset, index=index),
        "weight": row.own.get("weight"),
        "group": row.group,
        "reference": row.reference,
        "meta": _meta(row, value),
    }
    try:
        sample = Sample.model_validate(fields)
        check_storable([sample.reference, sample.meta])
        line = sample.to_line()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = "bad_utf8" if first["type"] == "string_unicode" else "wrong_type"
        raise RowProblem(reason, f"{place}: {first['msg']}") from None
    except ValueError as error:
        raise RowProblem("wrong_type", str(error)) from None
    except DataError:
        raise RowProblem("bad_utf8", "half a surrogate pair, which UTF-8 cannot hold") from None
    if len(line) > MAX_LINE_BYTES:
        raise RowProblem("over_long", f"{len(line):,} bytes with what else the row says")
    return line, sample.id


def _sample_id(row: Row, *, dataset: str, index: int) -> str:
    own = row.own.get("id")
    if own is None:
        return f"{dataset}_{index}"
    return str(own) if str(own).startswith(f"{dataset}_") else f"{dataset}_{own}"


def _meta(row: Row, value: dict[str, Any]) -> dict[str, Any] | None:
    rest = {name: each for name, each in value.items() if name not in row.used and each is not None}
    return {**row.own.get("meta", {}), **rest} or None


def _too_many(
    ledger: Ledger, settings: ConvertDataset, *, source: DatasetSource, kept: Path
) -> DataError:
    share = ledger.num_rejected / ledger.rows_in
    return DataError(
        f"{ledger.num_rejected:,} of {ledger.rows_in:,} rows ({share:.0%}) cannot be used: "
        f"{ledger.reasons()}",
        where=source.path or source.hub,
        expected=f"at most {settings.max_rejected_share:.0%} (data.max_rejected_share)",
        hint=f"the rejected rows with their reasons: {kept}",
    )

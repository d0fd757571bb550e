"""What was kept and why: counts, scores, how clean the choice is, examples of both sides."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from typing_extensions import TypedDict

from sluice.errors import DataError
from sluice.forms import Form
from sluice.ledger import read_ledger
from sluice.records import SelectedSample, iterate_lines, read_samples
from sluice.report.page.charts import distribution_chart
from sluice.report.page.drawing import inline_png
from sluice.report.page.section import Headline, Section
from sluice.report.pictures import SCORE_LABELS, SHOWN_SCORES
from sluice.report.score_evaluation import ALL_FLAWS
from sluice.report.score_tables import read_auroc, read_clean_share
from sluice.settings.report import Artifacts
from sluice.tables import holds_numbers, parquet_columns, read_parquet


class _Rejected(TypedDict):
    """A line of a .rejected.jsonl."""

    reason: str
    detail: str
    row: Any


_REJECTED = Form(_Rejected, "rejected row", "the step that rejected it")
# Rows of the table of AUROC: the best scores; a model of 28 layers has more than anyone reads.
_SHOWN_AUROC = 8
_CHOICES = {
    "(selected)": "selected",
    "(random)": "as many at random",
    "(all)": "all scored samples",
}


def selection_section(files: Artifacts, *, num_examples: int) -> Section | None:
    """The selection as a section; none where nothing was selected."""
    if not files.selected:
        return None
    content = {
        "counts": _counts(files.ledgers),
        "choices": clean_choices(read_clean_share(files.clean_share)) if files.clean_share else [],
        "auroc": best_scores(read_auroc(files.auroc)) if files.auroc else [],
        "charts": list(_charts(files.scores)),
        "heatmap": [inline_png(path) for path in files.heatmap],
        "kept": kept_examples(files.selected, num_examples=num_examples),
        "rejected": list(rejected_examples(files.ledgers)),
    }
    return Section("selection", "What was kept, and why", content)


def selection_headlines(section: Section) -> list[Headline]:
    """How much was kept, and how clean it is where that is known."""
    counts = section.content["counts"]
    kept, scored = (sum(row[key] for row in counts) for key in ("kept", "scored"))
    found = [Headline(f"{kept:,}", "samples kept", f"of {scored:,} that were scored")]
    for choice in section.content["choices"]:
        if choice["name"] == _CHOICES["(selected)"]:
            detail = f"95 % interval {choice['low']:.1%} to {choice['high']:.1%}"
            found.append(Headline(f"{choice['clean_share']:.1%}", "of them clean", detail))
    return found


def clean_choices(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of clean_share.csv that say how clean the choice is beside chance and everything."""
    rows = table.set_index("score")
    return [
        {"name": name, **dict(rows.loc[score])}
        for score, name in _CHOICES.items()
        if score in rows.index
    ]


def best_scores(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The scores that tell flawed samples best, each with the flaw kind it is worst at."""
    overall = table[table["flaw"] == ALL_FLAWS].sort_values("auroc", ascending=False, kind="stable")
    found: list[dict[str, Any]] = []
    for row in overall.head(_SHOWN_AUROC).to_dict("records"):
        kinds = table[(table["score"] == row["score"]) & (table["flaw"] != ALL_FLAWS)]
        worst = kinds.sort_values(["auroc", "flaw"]).head(1).to_dict("records")
        found.append(
            {
                **{str(key): value for key, value in row.items()},
                "worst": worst[0] if worst else None,
            }
        )
    return found


def kept_examples(files: Sequence[Path], *, num_examples: int) -> list[dict[str, Any]]:
    """The first samples of each dataset in the merged selection, which is best first."""
    found: dict[str, list[Any]] = {}
    for path in files:
        for sample in read_samples(path):
            shown = found.setdefault(sample.dataset, [])
            if len(shown) < num_examples and isinstance(sample, SelectedSample):
                shown.append(sample)
    return [{"dataset": name, "samples": samples} for name, samples in sorted(found.items())]


def rejected_examples(ledgers: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """One rejected row for each step, dataset and reason, from the file beside the ledger."""
    for path in ledgers:
        entry = read_ledger(path)
        rejected = path.with_name(path.name.replace(".ledger.json", ".rejected.jsonl"))
        if not entry["rejected"] or not rejected.is_file():
            continue
        for reason, row in _first_of_each(rejected, reasons=set(entry["rejected"])).items():
            yield {
                "step": entry["step"],
                "dataset": entry["dataset"],
                "reason": reason,
                "count": entry["rejected"][reason],
                "detail": row["detail"],
                "messages": _messages(row["row"]),
                "row": row["row"],
            }


def _messages(row: Any) -> list[Any] | None:
    """The messages of a rejected row, where it has some: it may be anything a source holds."""
    messages = row.get("messages") if isinstance(row, dict) else None
    if not isinstance(messages, list):
        return None
    is_sound = all(isinstance(each, dict) and {"role", "content"} <= set(each) for each in messages)
    return messages if is_sound else None


def _first_of_each(path: Path, *, reasons: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, line in iterate_lines(path):
        where = f"line {number:,} of {path}"
        row = _rejected(line, where=where)
        if row["reason"] not in reasons:
            raise _REJECTED.misfit("reason: the ledger does not count it", where=where)
        found.setdefault(row["reason"], row)
        if reasons <= set(found):
            break
    return dict(sorted(found.items()))


def _rejected(line: bytes, *, where: str) -> Mapping[str, Any]:
    try:
        # NaN is let through: a row may have been rejected for it.
        return _REJECTED.check(json.loads(line), where=where)
    except (ValueError, RecursionError) as error:
        raise _REJECTED.misfit(str(error), where=where) from None


def _counts(ledgers: Sequence[Path]) -> list[dict[str, Any]]:
    entries = [entry for entry in map(read_ledger, ledgers) if entry["step"] == "select_samples"]
    return [
        {"dataset": each["dataset"], "scored": each["rows_in"], "kept": each["rows_kept"]}
        for each in sorted(entries, key=lambda entry: str(entry["dataset"]))
    ]


def _charts(paths: Sequence[Path]) -> Iterator[Any]:
    """One chart per score. Only one column of each file is in memory at a time."""
    for score in SHOWN_SCORES:
        values = _values(paths, score)
        if values:
            yield distribution_chart(values, key=score, name=SCORE_LABELS[score])


def _values(paths: Sequence[Path], score: str) -> Mapping[str, "pd.Series[float]"]:
    parts = []
    for path in paths:
        if score in parquet_columns(path):
            part = read_parquet(path, columns=["dataset", "status", score]).to_pandas()
            if not holds_numbers(part[score]):
                raise DataError(
                    f"{path}: the column {score} holds no numbers",
                    hint="make it again with score_samples",
                )
            parts.append(part)
    if not parts:
        return {}
    table = pd.concat(parts)
    table = table[(table["status"] == "ok") & table[score].notna()]
    return {str(name): rows[score] for name, rows in table.groupby("dataset")}

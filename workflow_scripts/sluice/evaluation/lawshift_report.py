"""LawShift's results: accuracy by change type before and after the change, and what it did."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sluice.errors import DataError
from sluice.evaluation.grades import OVERALL, GradedAnswer, GroupAccuracy, group_accuracy
from sluice.evaluation.lawshift import ChangeType
from sluice.files import write_text
from sluice.grading.lawshift import SPLITS
from sluice.intervals import Estimate, difference
from sluice.tables import write_csv

_HEAD = """\
# LawShift: {subject}

Share of cases judged rightly (%), with a 95 % interval ({interval}), under the original statute and
under the changed one (poisoned), and the change in percentage points. Several answers to a case
count as their mean.

| folder | label | cases | original | cases | poisoned | change |
|---|---|--:|--:|--:|--:|--:|
"""


def write_lawshift_report(
    graded: Sequence[GradedAnswer],
    types: Sequence[ChangeType],
    *,
    subject: str,
    seed: int,
    table: Path,
    page: Path,
) -> None:
    """Writes the table as CSV and as Markdown."""
    rows = lawshift_table(graded, types, seed=seed)
    has_several_answers = any(answer.sample for answer in graded)
    write_csv(table, rows)
    text = lawshift_markdown(rows, subject=subject, has_several_answers=has_several_answers)
    write_text(page, text)


def lawshift_table(
    graded: Sequence[GradedAnswer], types: Sequence[ChangeType], *, seed: int
) -> pd.DataFrame:
    """One row a change type, in the order of ``types``, and all cases together as the last.

    The two splits are different cases, so the change is that of independent shares.

    Args:
        graded: graded answers to a suite of `convert_lawshift`.
        types: the change types, with their labels.
        seed: of the bootstrap, where cases have several answers.
    Raises:
        DataError: the answers are not those to both splits of these change types.
    """
    by_group: dict[str, list[GradedAnswer]] = defaultdict(list)
    for answer in graded:
        by_group[answer.group or ""].append(answer)
    wanted = {f"{change.name}/{split}" for change in types for split in SPLITS}
    if wanted != set(by_group):
        odd = sorted(wanted ^ set(by_group))
        raise DataError(
            f"{len(odd)} groups stand in the answers or in the labels only ({', '.join(odd[:3])})",
            expected="answers to a suite that convert_lawshift made with these labels",
        )
    rows = []
    for change in types:
        sides = [
            group_accuracy(group, by_group[group], seed=seed)
            for group in (f"{change.name}/{split}" for split in SPLITS)
        ]
        rows.append(_row(change.name, change.number, change.label, *sides))
    totals = [
        group_accuracy(
            f"{OVERALL}/{split}",
            [answer for answer in graded if (answer.group or "").endswith(f"/{split}")],
            seed=seed,
        )
        for split in SPLITS
    ]
    return pd.DataFrame([*rows, _row(OVERALL, "", "", *totals)])


def _row(
    folder: str, number: str, label: str, original: GroupAccuracy, poisoned: GroupAccuracy
) -> dict[str, str | int | float]:
    change = difference(original.accuracy, poisoned.accuracy)
    return {
        "folder": folder,
        "type": number,
        "label": label,
        "n_original": original.num_items,
        **_columns("original", original.accuracy),
        "n_poisoned": poisoned.num_items,
        **_columns("poisoned", poisoned.accuracy),
        **_columns("change", change),
    }


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def lawshift_markdown(table: pd.DataFrame, *, subject: str, has_several_answers: bool) -> str:
    """The table as a page of Markdown."""
    interval = "bootstrap over cases" if has_several_answers else "Wilson"
    lines = [_HEAD.format(subject=subject, interval=interval)]
    for row in table.to_dict("records"):
        name = f"**{row['folder']}**" if row["folder"] == OVERALL else row["folder"]
        cells = (
            name,
            row["label"],
            f"{row['n_original']:,}",
            _percent(row, "original"),
            f"{row['n_poisoned']:,}",
            _percent(row, "poisoned"),
            _percent(row, "change", sign="+"),
        )
        lines.append("| " + " | ".join(cells) + " |\n")
    return "".join(lines)


def _percent(row: dict[Any, Any], name: str, *, sign: str = "") -> str:
    value, low, high = (100 * row[key] for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"

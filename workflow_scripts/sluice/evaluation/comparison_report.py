"""A comparison as a page of Markdown, as JSON and as a table."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sluice.evaluation.grades import OVERALL
from sluice.evaluation.pairing import SIGNIFICANCE, Comparison
from sluice.intervals import NUM_DRAWS, Estimate

_METHOD = """\
Both answered the same items. Differences are {b} minus {a} in percentage points, with 95 %
intervals (paired bootstrap over items, {draws:,} draws). p: {test}, two-sided, after
Holm's correction over the suites, or over all groups of all suites. A gain or a loss is claimed
where the corrected p is below {significance}; "no difference shown" does not mean "equal": the
interval says which differences are still possible.
"""
_SHARES = """An item with several answers counts as the share of them that are right.
"""
_MCNEMAR = "exact McNemar"
_SIGN = "exact sign test over items on their shares of right answers"


def comparison_table(rows: Sequence[Comparison]) -> pd.DataFrame:
    """``comparison.csv``: a is the first, b the second, differences are b minus a; 1 is 100 %."""
    return pd.DataFrame([_flat(row) for row in rows])


def _flat(row: Comparison) -> dict[str, Any]:
    return {
        "suite": row.suite,
        "group": row.group,
        "n": row.num_items,
        "answers_a": row.num_answers[0],
        "answers_b": row.num_answers[1],
        **_columns("accuracy_a", row.first),
        **_columns("accuracy_b", row.second),
        **_columns("difference", row.difference),
        "only_a": row.first_better,
        "only_b": row.second_better,
        "p": row.p_value,
        "p_holm": row.p_corrected,
        "finding": row.finding,
    }


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def comparison_json(rows: Sequence[Comparison], *, first: str, second: str) -> dict[str, Any]:
    """``comparison.json``: who was compared and how, and the rows of the table."""
    return {
        "a": first,
        "b": second,
        "test": f"{_MCNEMAR if _have_one_answer(rows) else _SIGN}, two-sided, Holm-corrected",
        "interval": f"95 %, paired bootstrap over items, {NUM_DRAWS:,} draws",
        "significance": SIGNIFICANCE,
        "rows": [_flat(row) for row in rows],
    }


def _have_one_answer(rows: Sequence[Comparison]) -> bool:
    return all(row.has_one_answer for row in rows)


def comparison_summary(rows: Sequence[Comparison], *, first: str, second: str) -> str:
    """``summary.md``: for each suite what is shown, in words, then its groups as a table."""
    have_one = _have_one_answer(rows)
    test = f"{_MCNEMAR} test" if have_one else _SIGN
    method = _METHOD.format(
        a=first, b=second, draws=NUM_DRAWS, significance=SIGNIFICANCE, test=test
    )
    parts = [f"# {second} against {first}\n", method if have_one else method + _SHARES]
    for whole in (row for row in rows if row.group == OVERALL):
        groups = [row for row in rows if row.suite == whole.suite and row.group != OVERALL]
        parts.append(f"## {whole.suite}: {whole.finding}\n")
        parts.append(_in_words(whole, first=first, second=second))
        uneven = uneven_answers(whole, first=first, second=second)
        if uneven:
            parts.append(f"**Note:** {uneven}\n")
        if groups:
            parts.append(_groups_in_words(groups))
            parts.append(_table([*groups, whole], first=first, second=second))
    return "\n".join(parts)


def uneven_answers(row: Comparison, *, first: str, second: str) -> str | None:
    """What to say where the two did not give the same number of answers to each item."""
    if len(set(row.num_answers)) == 1:
        return None
    return (
        f"{first} has {_answers(row.num_answers[0])} to each item and {second}"
        f" {_answers(row.num_answers[1])}, so the two answered with different settings: a"
        " difference may be that of the settings."
    )


def _answers(number: int) -> str:
    return "1 answer" if number == 1 else f"{number:,} answers"


def _in_words(row: Comparison, *, first: str, second: str) -> str:
    lead = f"**{row.finding.capitalize()}.**"
    if row.finding == "no difference shown":
        lead = f"**No difference shown** between {first} and {second}."
    return (
        f"{lead} Of {row.num_items:,} items {first} has {_share(row.first)} right and {second}"
        f" {_share(row.second)}: {_points(row.difference)} points, p {_p(row.p_corrected)}."
        f" {_discordant(row, first=first, second=second)}\n"
    )


def _discordant(row: Comparison, *, first: str, second: str) -> str:
    if row.has_one_answer:
        return (
            f"On {row.second_better:,} items only {second} is right, on {row.first_better:,} only"
            f" {first}."
        )
    return (
        f"On {row.second_better:,} items {second} is right more often, on {row.first_better:,}"
        f" {first}."
    )


def _groups_in_words(groups: Sequence[Comparison]) -> str:
    names = {
        finding: [row.group for row in groups if row.finding == finding]
        for finding in ("gain", "loss", "no difference shown")
    }
    found = [f"{finding} in {len(each)}" for finding, each in names.items() if each]
    return f"Of {len(groups)} groups: {', '.join(found)}.\n"


def _table(rows: Sequence[Comparison], *, first: str, second: str) -> str:
    counts = (
        f"only {first} | only {second}"
        if _have_one_answer(rows)
        else f"{first} more often | {second} more often"
    )
    head = f"| group | items | {first} % | {second} % | difference | {counts}"
    lines = [f"{head} | p | p (Holm) | finding |", "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"]
    for row in rows:
        cells = (
            row.group.replace("|", "\\|"),
            f"{row.num_items:,}",
            _share(row.first, unit=""),
            _share(row.second, unit=""),
            _points(row.difference),
            f"{row.first_better:,}",
            f"{row.second_better:,}",
            f"{row.p_value:.2g}",
            f"{row.p_corrected:.2g}",
            row.finding,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _share(estimate: Estimate, *, unit: str = " %") -> str:
    value, low, high = (100 * each for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:.1f}{unit} [{low:.1f}, {high:.1f}]"


def _points(estimate: Estimate) -> str:
    value, low, high = (100 * each for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _p(p_value: float) -> str:
    return f"= {p_value:.2g}" if p_value >= 1e-300 else "< 1e-300"

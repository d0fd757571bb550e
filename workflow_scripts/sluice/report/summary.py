"""What a run did, as a page of text: rows in and out, what was kept, and what comes next."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from sluice.errors import DataError
from sluice.ledger import format_reasons, read_ledger
from sluice.report.score_tables import read_clean_share

# In the order of the workflow; a step's rows come from the step before it.
STEPS = (
    "convert_dataset",
    "drop_overlap",
    "split_dataset",
    "collect_router_data",
    "select_samples",
    "merge_selected",
)
_CHOICES = {
    "(all)": "all scored samples",
    "(selected)": "the selected samples",
    "(random)": "as many at random",
}
_CHAIN = ("convert_dataset", "drop_overlap", "split_dataset")


def check_conservation(ledgers: Sequence[dict[str, Any]]) -> None:
    """Goes over the books of the whole graph: no row is lost within a step or between two.

    Raises:
        DataError: rows in are not kept + rejected, or a step read other rows than the one before it
            kept. Files of two runs are mixed, or a step has a fault.
    """
    read: Counter[tuple[str, str]] = Counter()
    kept: Counter[tuple[str, str]] = Counter()
    for entry in ledgers:
        step, dataset = entry["step"], entry["dataset"]
        read[step, dataset] += entry["rows_in"]
        kept[step, dataset] += entry["rows_kept"]
        if entry["rows_in"] != entry["rows_kept"] + sum(entry["rejected"].values()):
            raise DataError(f"{step} of {dataset}: rows in are not rows kept and rejected")
        if step == "select_samples":
            kept["select_samples", "all"] += entry["rows_kept"]
    links = [((a, name), (b, name)) for a, b in pairwise(_CHAIN) for _, name in list(read)]
    for before, after in [*links, (("select_samples", "all"), ("merge_selected", "all"))]:
        if before in kept and after in read and kept[before] != read[after]:
            raise DataError(
                f"{before[0]} kept {kept[before]:,} rows of {before[1]}, but {after[0]} read "
                f"{read[after]:,}",
                hint="the files are of different runs: snakemake -n shows what is stale",
            )


def write_summary(
    ledger_files: Sequence[Path],
    *,
    selected: Path,
    clean_share: Path | None,
    files: Sequence[Path],
) -> str:
    """The text of the summary.

    Args:
        ledger_files: every ledger of the run.
        selected: the merged selection.
        clean_share: table of evaluate_scores, where the truth is known.
        files: what is worth looking at.
    Raises:
        DataError: see check_conservation.
    """
    ledgers = [read_ledger(path) for path in ledger_files]
    check_conservation(ledgers)
    by_step = {step: _sum_up(ledgers, step) for step in STEPS}
    scored, kept = by_step["collect_router_data"], by_step["merge_selected"]
    parts = [
        f"Sluice: {kept['rows_kept']:,} of {scored['rows_kept']:,} scored samples were selected.",
        _row_table(by_step),
    ]
    if clean_share is not None:
        parts.append(_clean_text(read_clean_share([clean_share])))
    listed = "\n".join(f"  {path}" for path in (selected, *files))
    parts.append(f"Files:\n{listed}")
    parts.append(
        "Next:\n"
        "  .venv/bin/snakemake --cores all                  # the controls and proofs too\n"
        "  .venv/bin/snakemake --report report.html         # all of it as one page\n"
        "  .venv/bin/snakemake -n --configfile mine.yaml    # your own data: see README.md"
    )
    return "\n\n".join(parts) + "\n"


def _sum_up(ledgers: Sequence[dict[str, Any]], step: str) -> dict[str, Any]:
    """The books of one step over all datasets."""
    own = [entry for entry in ledgers if entry["step"] == step]
    rejected: Counter[str] = Counter()
    for entry in own:
        rejected.update(entry["rejected"])
    return {
        "rows_in": sum(entry["rows_in"] for entry in own),
        "rows_kept": sum(entry["rows_kept"] for entry in own),
        "rejected": rejected,
    }


def _row_table(by_step: dict[str, dict[str, Any]]) -> str:
    held_back = by_step["split_dataset"]["rows_kept"] - by_step["collect_router_data"]["rows_in"]
    lines = [f"{'step':<22}{'rows in':>10}{'kept':>10}{'rejected':>10}  reasons"]
    for step, entry in by_step.items():
        reasons = format_reasons(entry["rejected"])
        if step == "split_dataset":
            reasons = f"({held_back:,} of the kept are held back for testing)"
        num_rejected = sum(entry["rejected"].values())
        lines.append(
            f"{step:<22}{entry['rows_in']:>10,}{entry['rows_kept']:>10,}{num_rejected:>10,}"
            f"  {reasons}".rstrip()
        )
    return "\n".join(lines)


def _clean_text(table: pd.DataFrame) -> str:
    """How clean the selected samples are, beside all of them and as many at random."""
    lines = ["The truth is known here. Clean are"]
    rows = table.set_index("score")
    for score, name in _CHOICES.items():
        if score in rows.index:
            row = rows.loc[score]
            lines.append(
                f"  {row.clean_share:6.1%} of {name:<20} "
                f"(95 % interval {row.low:.1%} to {row.high:.1%}; {row.num_kept:,.0f} samples)"
            )
    return "\n".join(lines)

"""What the run cost: time and memory of each step, tokens drawn and learnt from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sluice.artifact_forms import EVALUATION_RESULTS, SAMPLING
from sluice.artifacts import read_curves, trained_name
from sluice.fingerprint import code_hash
from sluice.forms import read_artifact
from sluice.report.page.section import Headline, Section
from sluice.tables import read_number_table

# The page does not speak of its own making: it would differ each time that it is written.
_OWN = {"write_report", "track_results"}
# What Snakemake writes for what it could not measure.
_NOT_MEASURED = ("", "-", "NA")


def cost_section(
    benchmarks: Path | None,
    *,
    samplings: Sequence[Path],
    evaluations: Sequence[Path],
    trainings: Sequence[Path],
) -> Section | None:
    """Time, memory and tokens as a section; none where nothing of them is known."""
    steps = step_costs(benchmarks) if benchmarks and benchmarks.is_dir() else []
    tokens = [*_sampled(samplings), *_answered(evaluations), *_learnt(trainings)]
    if not steps and not tokens:
        return None
    content = {"steps": steps, "total_s": sum(step["seconds"] for step in steps), "tokens": tokens}
    return Section("cost", "Cost", content)


def cost_headlines(section: Section) -> list[Headline]:
    """The time of all jobs that are on record, those of other runs in this folder included."""
    steps = section.content["steps"]
    if not steps:
        return []
    jobs = sum(step["jobs"] for step in steps)
    text = f"{jobs:,} job{'' if jobs == 1 else 's'} on record, other runs' in this folder included"
    return [Headline(duration(section.content["total_s"]), "of computing", text)]


def step_costs(folder: Path) -> list[dict[str, Any]]:
    """Jobs, seconds and peak memory of each rule, from what Snakemake measured; longest first.

    Args:
        folder: of benchmark files: ``<rule>.tsv``, or ``<rule>/<wildcards>.tsv``.
    Raises:
        DataError: one of them is damaged.
    """
    rules: dict[str, list[pd.DataFrame]] = {}
    for file in sorted(folder.rglob("*.tsv")):
        rule = file.relative_to(folder).parts[0].removesuffix(".tsv")
        if rule not in _OWN:
            table = read_number_table(
                file, numbers=("s", "max_rss"), separator="\t", empty=_NOT_MEASURED
            )
            rules.setdefault(rule, []).append(table)
    rows = [_step_cost(rule, pd.concat(tables)) for rule, tables in rules.items()]
    return sorted(rows, key=lambda row: (-row["seconds"], row["rule"]))


def duration(seconds: float) -> str:
    """A time as people say it: ``3 min 20 s``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.3g} s"


def _step_cost(rule: str, table: pd.DataFrame) -> dict[str, Any]:
    peak = table["max_rss"].max()
    return {
        "rule": rule,
        "jobs": len(table),
        "seconds": float(table["s"].sum()),
        "peak_mb": None if pd.isna(peak) else float(peak),
        "code": _code(rule),
    }


def _code(rule: str) -> str | None:
    """The hash of a rule's code; none of a rule that is no longer there."""
    try:
        return code_hash(rule)
    except FileNotFoundError:
        return None


def _sampled(paths: Sequence[Path]) -> list[dict[str, Any]]:
    return [
        {
            "what": f"drawn for {path.parent.name}",
            "tokens": stats["tokens"],
            "detail": f"{stats['generated']:,} completions, {stats['accepted']:,} kept",
        }
        for path, stats in ((path, read_artifact(path, SAMPLING)) for path in paths)
    ]


def _answered(paths: Sequence[Path]) -> list[dict[str, Any]]:
    return [
        {
            "what": f"answered by {result['subject']} on {result['suite']}",
            "tokens": round(result["mean_tokens"] * result["overall"]["answers"]),
            "detail": f"{result['overall']['answers']:,} answers",
        }
        for result in (read_artifact(path, EVALUATION_RESULTS) for path in paths)
    ]


def _learnt(paths: Sequence[Path]) -> list[dict[str, Any]]:
    found = []
    for path in paths:
        _, curves = read_curves(path)
        tokens = curves.get("num_target_tokens", curves.get("num_tokens"))
        if tokens is not None:
            steps = f"{len(curves['losses']):,} steps"
            what = f"learnt from by {trained_name(path)}"
            found.append({"what": what, "tokens": tokens, "detail": steps})
    return found

"""Did it help: accuracy with intervals, paired comparisons, answers side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sluice.artifact_forms import COMPARISON, EVALUATION_RESULTS, SHOWN_ANSWER
from sluice.artifacts import beside_results, suite_samples
from sluice.files import parse_json
from sluice.forms import read_artifact
from sluice.records import iterate_lines, read_samples
from sluice.report.page.section import Headline, Section
from sluice.settings.report import Artifacts

OVERALL = "overall"
# Kinds of pairs, and whether the answers before and after are right.
_CHANGES = {
    "mended": (False, True),
    "broken": (True, False),
    "still wrong": (False, False),
}


def evaluation_section(
    files: Artifacts, *, configuration: Mapping[str, Any], num_examples: int
) -> Section | None:
    """Evaluations and comparisons as a section; none where nothing was evaluated."""
    if not files.evaluations:
        return None
    results = [read_artifact(path, EVALUATION_RESULTS) for path in files.evaluations]
    graded = {
        (result["subject"], result["suite"]): beside_results(path, ".jsonl")
        for result, path in zip(results, files.evaluations, strict=True)
    }
    comparisons = [read_artifact(path, COMPARISON) for path in files.comparisons]
    kept_out, not_checked = _kept_out(sorted({each["suite"] for each in results}), configuration)
    content = {
        "kept_out": kept_out,
        "not_checked": not_checked,
        "results": sorted(results, key=lambda each: (each["suite"], each["subject"])),
        "verdicts": find_verdicts(results),
        "comparisons": comparisons,
        "have_several": any(
            max(row.get("answers_a", 1), row.get("answers_b", 1)) > 1
            for comparison in comparisons
            for row in comparison["rows"]
        ),
        "pairs": [
            {**names, "changes": changes}
            for comparison in comparisons
            for names, changes in _pairs(comparison, graded, configuration, num_examples)
        ],
    }
    return Section("evaluation", "Did it help?", content)


def evaluation_headlines(section: Section) -> list[Headline]:
    """What each comparison found over all items of a suite."""
    return [
        Headline(
            f"{100 * row['difference']:+.1f} points",
            f"{comparison['b']} against {comparison['a']} on {row['suite']}",
            f"95 % interval {100 * row['difference_low']:+.1f} to"
            f" {100 * row['difference_high']:+.1f}: {row['finding']}",
        )
        for comparison in section.content["comparisons"]
        for row in comparison["rows"]
        if row["group"] == OVERALL
    ]


def pair_up(
    before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
    *,
    num_examples: int,
) -> list[dict[str, Any]]:
    """Some items of each kind of change, evenly spread over all of that kind.

    Args:
        before: graded answers by item.
        after: those of the other subject to the same items.
        num_examples: at most so many of each kind.
    Returns:
        For each kind its ``kind``, the ``count`` of its items, and ``examples``: pairs of answers.
    """
    found = []
    for kind, wanted in _CHANGES.items():
        ids = [
            name
            for name in before
            if name in after
            and (before[name]["verdict"] == "correct", after[name]["verdict"] == "correct")
            == wanted
        ]
        places = np.linspace(0, len(ids) - 1, min(num_examples, len(ids))).round().astype(int)
        examples = [(before[ids[place]], after[ids[place]]) for place in places]
        found.append({"kind": kind, "count": len(ids), "examples": examples})
    return found


def _pairs(
    comparison: Mapping[str, Any],
    graded: Mapping[tuple[str, str], Path],
    configuration: Mapping[str, Any],
    num_examples: int,
) -> list[tuple[dict[str, str], list[dict[str, Any]]]]:
    found = []
    for suite in sorted({row["suite"] for row in comparison["rows"]}):
        sides = [(comparison[side], suite) for side in ("a", "b")]
        if not num_examples or not all(side in graded for side in sides):
            continue
        before, after = (_first_answers(graded[side]) for side in sides)
        changes = pair_up(before, after, num_examples=num_examples)
        references = _references(configuration, suite)
        for change in changes:
            change["examples"] = [
                {"before": first, "after": second, "reference": references.get(first["id"])}
                for first, second in change["examples"]
            ]
        found.append(({"a": comparison["a"], "b": comparison["b"], "suite": suite}, changes))
    return found


def _first_answers(path: Path) -> dict[str, Mapping[str, Any]]:
    """The first answer to each item, in the order of the items."""
    found: dict[str, Mapping[str, Any]] = {}
    for number, line in iterate_lines(path):
        where = f"line {number:,} of {path}"
        answer = SHOWN_ANSWER.check(parse_json(line, what=where), where=where)
        found.setdefault(answer["id"], answer)
    return found


def _references(configuration: Mapping[str, Any], suite: str) -> dict[str, Any]:
    """What is right for each item of a suite, where its samples are at hand."""
    file = suite_samples(configuration, suite)
    if not file.is_file():
        return {}
    return {sample.id: sample.reference for sample in read_samples(file) if sample.reference}


def _kept_out(
    suites: Sequence[str], configuration: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """The suites whose text was dropped from training data, and those that were not looked for."""
    texts = {Path(name) for name in configuration.get("data", {}).get("evaluation_texts", ())}
    kept_out = [suite for suite in suites if suite_samples(configuration, suite) in texts]
    return kept_out, [suite for suite in suites if suite not in kept_out]


def find_verdicts(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every verdict that was given, the commonest first."""
    counts: dict[str, int] = {}
    for result in results:
        for verdict, count in result["verdicts"].items():
            counts[verdict] = counts.get(verdict, 0) + count
    return sorted(counts, key=lambda verdict: (-counts[verdict], verdict))

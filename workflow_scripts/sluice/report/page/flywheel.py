"""The flywheel: judged scores turn by turn, what was kept, how far the judges can be trusted."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sluice.artifact_forms import CALIBRATION, MEAN, TURN_SUMMARY, measures_of
from sluice.flywheel.judged import join_verdicts, read_evaluation, read_simulation
from sluice.forms import read_artifact
from sluice.intervals import Estimate
from sluice.report.page.charts import turn_chart
from sluice.report.page.section import Headline, Section
from sluice.settings.report import Artifacts

_HELD_OUT = "heldout"


def flywheel_section(files: Artifacts, *, num_examples: int) -> Section | None:
    """The turns as a section; none where none was summarized."""
    if not files.turns:
        return None
    summaries = [read_artifact(path, TURN_SUMMARY) for path in files.turns]
    last = summaries[-1]
    measures = measures_of(last)
    content = {
        "turns": summaries,
        "last": last,
        "measures": measures,
        # The last of them is a share, which does not lie on the judge's scale.
        "chart": turn_chart(trajectories(last, measures[:-1]), key="scores", name=_axis(last)),
        "calibrations": [_calibration(path) for path in files.calibrations],
        "spending": list(spending(summaries)),
        "pairs": changed_dialogues(files.turns[0], files.turns[-1], num_examples=num_examples),
    }
    return Section("flywheel", "Turn by turn", content)


def flywheel_headlines(section: Section) -> list[Headline]:
    """What the last turn gained over the first."""
    last = section.content["last"]
    if not last["against"]:
        return []
    first = min(last["against"], key=lambda each: int(each["turn"]))
    gain = first["differences"][MEAN]
    detail = f"95 % interval {gain['low']:+.2f} to {gain['high']:+.2f}: {gain['finding']}"
    label = f"judged score, turn {last['turn']} against turn {first['turn']}"
    return [Headline(f"{gain['value']:+.2f}", label, detail)]


def trajectories(summary: Mapping[str, Any], measures: Sequence[str]) -> dict[str, list[Estimate]]:
    """Each measure's estimates at every turn up to the summary's."""
    return {
        measure: [_estimate(turn[measure]) for turn in summary["trajectory"]]
        for measure in measures
    }


def spending(summaries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each turn and step that asked a server, with all that was booked."""
    for summary in summaries:
        for step, booked in summary["spending"].items():
            numbers = {name: value for name, value in booked.items() if value is not None}
            yield {"turn": summary["turn"], "step": step, "booked": numbers}


def changed_dialogues(
    first_turn: Path, last_turn: Path, *, num_examples: int
) -> list[dict[str, Any]]:
    """Held-out dialogues whose score rose most, and those whose score fell, in two turns.

    Args:
        first_turn: summary.json of the earlier turn; its dialogues lie beside it.
        last_turn: that of the later one.
        num_examples: at most so many of each kind.
    Returns:
        For each kind its ``kind``, the ``count`` of its dialogues, and ``examples`` with
        ``before`` and ``after``: a dialogue and its mean score.
    """
    if first_turn == last_turn or not num_examples:
        return []
    before, after = (_scored_dialogues(path.parent / _HELD_OUT) for path in (first_turn, last_turn))
    shared = [name for name in before if name in after]
    change = {name: after[name]["score"] - before[name]["score"] for name in shared}
    kinds = {
        "better": sorted((name for name in shared if change[name] > 0), key=lambda n: -change[n]),
        "worse": sorted((name for name in shared if change[name] < 0), key=lambda n: change[n]),
    }
    return [
        {
            "kind": kind,
            "count": len(names),
            "examples": [
                {"before": before[name], "after": after[name]} for name in names[:num_examples]
            ],
        }
        for kind, names in kinds.items()
    ]


def _scored_dialogues(folder: Path) -> dict[str, dict[str, Any]]:
    """Dialogues with a scored exchange, each with the mean over its scored exchanges."""
    simulation = read_simulation(folder / "simulation_data.json")
    evaluation = read_evaluation(folder / "evaluation_results.json")
    means: dict[str, list[float]] = {}
    for each in join_verdicts(simulation, evaluation, where=str(folder)):
        if each.is_scored and each.verdict.mean is not None:
            means.setdefault(each.dialogue.id, []).append(each.verdict.mean)
    return {
        dialogue.id: {**dict(dialogue), "score": sum(scores) / len(scores)}
        for dialogue in simulation.dialogues
        if (scores := means.get(dialogue.id))
    }


def _calibration(path: Path) -> dict[str, Any]:
    content = read_artifact(path, CALIBRATION)
    return {"turn": path.parent.name, **content}


def _estimate(row: Mapping[str, float]) -> Estimate:
    return Estimate(row["value"], row["low"], row["high"])


def _axis(summary: Mapping[str, Any]) -> str:
    low, high = summary["scale"]
    return f"judged score ({low:g} to {high:g})"

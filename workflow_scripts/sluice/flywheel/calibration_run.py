"""A run of calibrate_judge: dialogues in, the judges asked again, table out."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sluice.files import read_json, write_json
from sluice.flywheel.calibration import (
    Measure,
    Pair,
    Rated,
    agreement_measure,
    length_measures,
    order_measures,
    reference_measures,
    repeat_measures,
)
from sluice.flywheel.families import shared_families
from sluice.flywheel.judging import Judge
from sluice.flywheel.judging_run import open_judge
from sluice.flywheel.messages import without_thoughts
from sluice.flywheel.pairwise import compare_pair, first_prompts
from sluice.flywheel.simulation import run_all
from sluice.grading.exact import grade_exact
from sluice.grading.number import grade_number
from sluice.logs import get_logger
from sluice.seeds import derive_seed
from sluice.settings.flywheel_turn import CalibrateJudge
from sluice.settings.llm import Endpoint
from sluice.tables import write_csv

logger = get_logger(__name__)

Dialogues = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Prompts:
    """What judges are told."""

    verdict: Path
    comparison: Path
    law: Path
    """What the offline judges know of the built-in world."""


def calibrate_judge(
    simulation: Path,
    *,
    earlier: Path | None,
    judges: Mapping[str, Endpoint],
    prompts: Prompts,
    settings: CalibrateJudge,
    output: Path,
    answer_cache: Path,
) -> None:
    """Asks each judge again and in pairs, and writes what that says of it.

    Args:
        simulation: simulation_data.json of held-out dialogues.
        earlier: of the turn before on the same topics, for comparison in pairs.
        judges: role (judge, evaluator) -> its server and model.
        prompts: what they are told.
        settings: how much is asked.
        output: the table, CSV; the same as JSON, with the examined models, appears beside it.
        answer_cache: where paid answers are kept.
    Raises:
        DataError: a file is missing or broken.
        EngineError: a server cannot be used, or the budget is spent.
    """
    talk = read_json(simulation)
    dialogues = draw_dialogues(talk["dialogues"], settings)
    names = {each["id"] for each in dialogues}
    before = read_json(earlier)["dialogues"] if earlier else []
    pairs = first_prompts([each for each in before if each["id"] in names], dialogues)
    measures: list[Measure] = []
    rated: dict[str, dict[tuple[str, int], Rated]] = {}
    for role, endpoint in judges.items():
        with open_judge(
            endpoint,
            settings=settings,
            prompt=prompts.verdict,
            law_path=prompts.law,
            answer_cache=answer_cache,
        ) as judge:
            rated[role], compared = asyncio.run(
                _examine(judge, dialogues, pairs, settings=settings, prompts=prompts)
            )
        measures += _measures_of(role, list(rated[role].values()), compared, settings)
    measures += _agreement(rated, settings)
    _write(measures, talk["model"], judges, settings, output=output)


def draw_dialogues(dialogues: Dialogues, settings: CalibrateJudge) -> list[Mapping[str, Any]]:
    """So many of the dialogues, drawn by seed and id, in their order."""
    drawn = sorted(
        dialogues, key=lambda each: derive_seed(settings.seed, "calibrate_judge", each["id"])
    )
    names = {each["id"] for each in drawn[: settings.num_calibrated]}
    return [each for each in dialogues if each["id"] in names]


async def _examine(
    judge: Judge,
    dialogues: Dialogues,
    pairs: Sequence[tuple[str, str, tuple[str, str]]],
    *,
    settings: CalibrateJudge,
    prompts: Prompts,
) -> tuple[dict[tuple[str, int], Rated], list[Pair]]:
    """Every exchange judged several times, and every pair in both orders."""
    rated: dict[tuple[str, int], Rated] = {}
    compared: dict[str, Pair] = {}
    prompt = prompts.comparison.read_text(encoding="utf-8")

    async def rate(dialogue: Mapping[str, Any], index: int) -> None:
        found = await _rate(judge, dialogue, index, settings=settings)
        if found:
            rated[dialogue["id"], index] = found

    async def compare(name: str, question: str, answers: tuple[str, str]) -> None:
        pair = await compare_pair(judge, prompt, dialogue=name, question=question, answers=answers)
        if pair:
            compared[name] = pair

    async with judge.client:
        work = [rate(each, n) for each in dialogues for n in range(len(each["exchanges"]))]
        await run_all([*work, *(compare(*pair) for pair in pairs)], what="judgements")
    return dict(sorted(rated.items())), [compared[name] for name in sorted(compared)]


async def _rate(
    judge: Judge, dialogue: Mapping[str, Any], index: int, *, settings: CalibrateJudge
) -> Rated | None:
    """One exchange's repeated verdicts; None where none of them is a score."""
    so_far = dialogue["exchanges"][: index + 1]
    scored = []
    for repetition in range(settings.num_repeats):
        verdict, _ = await judge.verdict(dialogue["id"], so_far, repetition=repetition)
        if verdict.scores is not None:
            scored.append(verdict.scores)
    if not scored:
        return None
    exchange = so_far[-1]
    return Rated(
        dialogue_id=dialogue["id"],
        scores=tuple(tuple(float(score) for score in each.values()) for each in scored),
        is_good=tuple(is_good(each, settings) for each in scored),
        num_chars=len(without_thoughts(exchange["assistant"])),
        is_right=_is_right(exchange, settings),
    )


def _is_right(exchange: Mapping[str, Any], settings: CalibrateJudge) -> bool | None:
    """What the reference says of an answer; None where there is none."""
    if exchange.get("reference") is None:
        return None
    grade = {"exact": grade_exact, "number": grade_number}[settings.reference_grader]
    reference = {"answer": exchange["reference"]}
    return grade(exchange["assistant"], reference, is_cut_off=exchange["is_cut_off"]).is_correct


def _measures_of(
    role: str, rated: Sequence[Rated], pairs: Sequence[Pair], settings: CalibrateJudge
) -> list[Measure]:
    seed = derive_seed(settings.seed, "calibrate_judge", role)
    return [
        *repeat_measures(role, rated, seed=seed),
        *order_measures(role, pairs, seed=seed),
        *length_measures(role, rated, seed=seed),
        *reference_measures(role, rated, seed=seed),
    ]


def _agreement(
    rated: Mapping[str, Mapping[tuple[str, int], Rated]], settings: CalibrateJudge
) -> list[Measure]:
    if len(rated) < 2:
        return []
    first, second = rated.values()
    shared = sorted(set(first) & set(second))
    seed = derive_seed(settings.seed, "calibrate_judge", "both")
    sides = [[side[place] for place in shared] for side in (first, second)]
    return [agreement_measure(*sides, seed=seed)]


def _write(
    measures: Sequence[Measure],
    model: str,
    judges: Mapping[str, Endpoint],
    settings: CalibrateJudge,
    *,
    output: Path,
) -> None:
    rows = [_flat(each) for each in measures]
    examined = {}
    for role, endpoint in judges.items():
        shared = shared_families(endpoint.model, model)
        examined[role] = {"model": endpoint.model, "families_shared_with_the_model": shared}
        if shared:
            logger.warning(
                "%s %s and the model %s are both of the family %s: it may prefer its own answers",
                *(role, endpoint.model, model, ", ".join(shared)),
            )
    content = {
        "format_version": 1,
        "model": model,
        "judges": examined,
        "settings": settings.model_dump(mode="json"),
        "measures": rows,
    }
    write_json(output.with_suffix(".json"), content)
    write_csv(output, pd.DataFrame(rows))
    for each in measures:
        if each.estimate:
            found = each.estimate
            logger.info(
                "%s %s: %.3f [%.3f, %.3f] over %d",
                *(each.judge, each.measure, found.value, found.low, found.high, each.num_items),
            )


def _flat(measure: Measure) -> dict[str, Any]:
    empty = {"value": None, "low": None, "high": None}
    return {
        "judge": measure.judge,
        "measure": measure.measure,
        **(asdict(measure.estimate) if measure.estimate else empty),
        "n": measure.num_items,
        "status": measure.status,
    }

"""A run of calibrate_judge: dialogues in, the judges asked again, table out."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from sluice.files import write_json
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
from sluice.flywheel.judged import is_good
from sluice.flywheel.judging import Judge
from sluice.flywheel.judging_run import SIMULATION, TalkData, check_rubric, read_simulation
from sluice.flywheel.kinship import warn_of_kinship
from sluice.flywheel.messages import without_thoughts
from sluice.flywheel.pairwise import compare_pair, first_prompts
from sluice.flywheel.simulation import run_all
from sluice.flywheel.simulation_run import read_prompt
from sluice.flywheel.speaking import reachable
from sluice.flywheel.verdicts import Rubric
from sluice.grading.exact import grade_exact
from sluice.grading.number import grade_number
from sluice.llm.cache import AnswerCache
from sluice.llm.client import ChatClient
from sluice.llm.spending_log import SpendingLog
from sluice.logs import get_logger
from sluice.seeds import derive_seed
from sluice.settings.calibration import CalibrateJudge
from sluice.settings.llm import Endpoint
from sluice.tables import write_csv

logger = get_logger(__name__)

Dialogues = Sequence[Mapping[str, Any]]
Prompted = Sequence[tuple[str, str, tuple[str, str]]]
"""Dialogue id, opening, and the two turns' answers to it."""


def _grading_fault(values: TalkData) -> str | None:
    """A grader has to know whether an answer was cut off."""
    for place, dialogue in enumerate(values["dialogues"]):
        for number, each in enumerate(dialogue["exchanges"]):
            if each.get("reference") is not None and "is_cut_off" not in each:
                return f"dialogues.{place}.exchanges.{number}.is_cut_off: Field required"
    return None


_GRADABLE = replace(SIMULATION, find_fault=_grading_fault)


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
    generator: str,
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
        generator: name of the model that answered, which tells its family.
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
    talk = read_simulation(simulation, _GRADABLE)
    dialogues = draw_dialogues(talk["dialogues"], settings)
    names = {each["id"] for each in dialogues}
    before = read_simulation(earlier)["dialogues"] if earlier else []
    pairs = first_prompts([each for each in before if each["id"] in names], dialogues)
    measures: list[Measure] = []
    rated: dict[str, dict[tuple[str, int], Rated]] = {}
    spending: dict[str, dict[str, float]] = {}
    for role, endpoint in judges.items():
        log = SpendingLog(answer_cache, output=output, role=role)
        rated[role], compared, spending[role] = _examine(
            *(endpoint, dialogues, pairs),
            settings=settings,
            prompts=prompts,
            cache=answer_cache,
            log=log,
        )
        measures += _measures_of(role, list(rated[role].values()), compared, settings)
    measures += _agreement(rated, settings)
    _write(measures, generator, judges, settings, spending=spending, output=output)


def draw_dialogues(dialogues: Dialogues, settings: CalibrateJudge) -> list[Mapping[str, Any]]:
    """So many of the dialogues, drawn by seed and id, in their order."""
    drawn = sorted(
        dialogues, key=lambda each: derive_seed(settings.seed, "calibrate_judge", each["id"])
    )
    names = {each["id"] for each in drawn[: settings.num_calibrated]}
    return [each for each in dialogues if each["id"] in names]


def _examine(
    endpoint: Endpoint,
    dialogues: Dialogues,
    pairs: Prompted,
    *,
    settings: CalibrateJudge,
    prompts: Prompts,
    cache: Path,
    log: SpendingLog,
) -> tuple[dict[tuple[str, int], Rated], list[Pair], dict[str, float]]:
    """Asks one judge: every exchange several times, every pair in both orders; with the cost."""
    text, comparison = read_prompt(prompts.verdict), read_prompt(prompts.comparison)
    rubric = Rubric(settings.dimensions, settings.lowest_score, settings.highest_score)
    check_rubric(text, rubric, where=prompts.verdict)
    with reachable(endpoint, law_path=prompts.law) as access:

        async def work() -> tuple[dict[tuple[str, int], Rated], list[Pair], dict[str, float]]:
            async with ChatClient(access, cache=AnswerCache(cache), log=log) as client:
                judge = Judge(
                    client, endpoint.model, text, rubric, settings.judge_max_tokens, settings.seed
                )
                found = await _ask(judge, dialogues, pairs, settings=settings, prompt=comparison)
                return *found, access.prices.book(client.answered)

        return asyncio.run(work())


async def _ask(
    judge: Judge, dialogues: Dialogues, pairs: Prompted, *, settings: CalibrateJudge, prompt: str
) -> tuple[dict[tuple[str, int], Rated], list[Pair]]:
    rated: dict[tuple[str, int], Rated] = {}
    compared: dict[str, Pair] = {}

    async def rate(dialogue: Mapping[str, Any], index: int) -> None:
        found = await _rate(judge, dialogue, index, settings=settings)
        if found:
            rated[dialogue["id"], index] = found

    async def compare(name: str, question: str, answers: tuple[str, str]) -> None:
        pair = await compare_pair(judge, prompt, dialogue=name, question=question, answers=answers)
        if pair:
            compared[name] = pair

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
    score_range = float(settings.highest_score - settings.lowest_score)
    return [
        *repeat_measures(role, rated, score_range=score_range, seed=seed),
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
    spending: Mapping[str, Mapping[str, float]],
    output: Path,
) -> None:
    rows = [_flat(each) for each in measures]
    examined = {}
    for role, endpoint in judges.items():
        shared = warn_of_kinship(role, endpoint.model, model=model)
        examined[role] = {"model": endpoint.model, "families_shared_with_the_model": shared}
    content = {
        "format_version": 1,
        "model": model,
        "judges": examined,
        "settings": settings.model_dump(mode="json"),
        "measures": rows,
        "spending": spending,
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

"""A run of judge_responses: simulation_data.json in, evaluation_results.json out."""

import asyncio
from pathlib import Path
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from sluice.errors import DataError
from sluice.files import hash_file, write_json
from sluice.flywheel.judging import Judge, count_verdicts, judge_dialogues
from sluice.flywheel.kinship import warn_of_kinship
from sluice.flywheel.simulation_run import FORMAT_VERSION, read_prompt
from sluice.flywheel.speaking import reachable
from sluice.flywheel.verdicts import Rubric
from sluice.forms import Form, Name, read_artifact
from sluice.llm.cache import AnswerCache
from sluice.llm.client import ChatClient
from sluice.llm.replies import Usage
from sluice.llm.spending_log import SpendingLog
from sluice.logs import get_logger
from sluice.settings.flywheel import JudgeResponses
from sluice.settings.llm import Endpoint

logger = get_logger(__name__)


class _Exchange(TypedDict):
    user: str
    assistant: str
    reference: NotRequired[str | None]
    is_cut_off: NotRequired[bool]


class _Dialogue(TypedDict):
    """What a judge is shown of a dialogue."""

    id: str
    exchanges: list[_Exchange]


class TalkData(TypedDict):
    """simulation_data.json, as far as judges see it."""

    format_version: Literal[1]
    model: NotRequired[Name]
    dialogues: list[_Dialogue]


SIMULATION = Form(TalkData, "simulation data", "simulate_dialogues")


def judge_responses(
    simulation: Path,
    *,
    generator: str | None = None,
    settings: JudgeResponses,
    endpoint: Endpoint,
    prompt: Path,
    law_path: Path,
    output: Path,
    answer_cache: Path,
) -> None:
    """Judges every exchange and writes the verdicts.

    Replies are kept as they come, so that a run that was killed goes on where it was.

    Args:
        simulation: simulation_data.json.
        generator: name of the model that answered, which tells its family; where None, the one
            that the simulation names.
        settings: dimensions, scale, how much may fail.
        endpoint: who judges.
        prompt: the judge's instructions and rubric.
        law_path: what the offline judges know.
        output: evaluation_results.json.
        answer_cache: where paid answers are kept.
    Raises:
        DataError: the dialogues or the prompt cannot be read.
        EngineError: the judge cannot be asked, or too many verdicts are none.
    """
    data = read_simulation(simulation)
    text = read_prompt(prompt)
    rubric = Rubric(settings.dimensions, settings.lowest_score, settings.highest_score)
    check_rubric(text, rubric, where=prompt)
    warn_of_kinship("judge", endpoint.model, model=generator or data.get("model", "(unnamed)"))
    with reachable(endpoint, law_path=law_path) as access:

        async def work() -> tuple[list[dict[str, Any]], int, int]:
            log = SpendingLog(answer_cache, output=output)
            async with ChatClient(access, cache=AnswerCache(answer_cache), log=log) as client:
                judge = Judge(
                    client,
                    endpoint.model,
                    text,
                    rubric,
                    settings.judge_max_tokens,
                    settings.seed,
                )
                made = await judge_dialogues(
                    data["dialogues"], judge=judge, max_failed_share=settings.max_failed_share
                )
                logger.info(
                    "%d requests sent, %d answers kept from before, %.4f spent now, %.4f before",
                    client.spending.num_requests,
                    client.num_kept,
                    client.spending.cost,
                    log.earlier.cost,
                )
                return made

        verdicts, num_prompt, num_completion = asyncio.run(work())
    counts = count_verdicts(verdicts)
    logger.info(", ".join(f"{name} {number:,}" for name, number in counts.items()))
    write_json(
        output,
        {
            "format_version": FORMAT_VERSION,
            "judge_model": endpoint.model,
            "prompt": {"file": prompt.name, "sha256": hash_file(prompt)},
            "dimensions": list(rubric.dimensions),
            "scale": [rubric.lowest, rubric.highest],
            "verdicts": verdicts,
            "counts": counts,
            "spending": access.prices.book(Usage(num_prompt, num_completion)),
        },
    )


def read_simulation(path: Path, form: Form[TalkData] = SIMULATION) -> dict[str, Any]:
    """Reads a simulation_data.json.

    Raises:
        DataError: it is missing, no JSON, of another format version, or without dialogues.
    """
    data = read_artifact(path, form)
    if not any(each["exchanges"] for each in data["dialogues"]):
        raise DataError(f"{path} holds no exchange")
    return dict(data)


def check_rubric(prompt: str, rubric: Rubric, *, where: Path) -> None:
    """Makes sure that the prompt says what each dimension means, and knows the fence.

    Raises:
        DataError: one of them is missing.
    """
    missing = [name for name in (*rubric.dimensions, "{fence}") if name not in prompt]
    if missing:
        raise DataError(
            f"the judge's prompt does not mention {', '.join(missing)}",
            where=str(where),
            expected="a rubric for each dimension, and {fence} for the dialogue's mark",
        )

"""Verdicts of a judge on every exchange of simulated dialogues, many at once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.errors import EngineError
from sluice.flywheel.messages import without_thoughts
from sluice.flywheel.simulation import run_all
from sluice.flywheel.verdicts import (
    STATUSES,
    Rubric,
    Verdict,
    judge_messages,
    parse_verdict,
    repair_messages,
)
from sluice.llm.client import ChatClient, RequestError
from sluice.llm.replies import Reply
from sluice.logs import get_logger
from sluice.seeds import derive_seed

logger = get_logger(__name__)


@dataclass
class Judge:
    """Asks a model for verdicts.

    Args:
        client: the server.
        model: the name that it knows.
        prompt: what judge_v1.txt says.
        rubric: dimensions and scale.
        max_tokens: longest reply.
        seed: the config's.
    """

    client: ChatClient
    model: str
    prompt: str
    rubric: Rubric
    max_tokens: int
    seed: int
    _knows_schemas: bool = field(default=True, init=False)

    async def verdict(
        self, dialogue: str, exchanges: Sequence[Mapping[str, Any]], *, repetition: int = 0
    ) -> tuple[Verdict, list[Reply]]:
        """The verdict on the last of some exchanges, and the replies that it took.

        Args:
            dialogue: its id.
            exchanges: the dialogue so far.
            repetition: another number asks for another verdict on the same answer.
        Raises:
            EngineError: no request to this server can succeed, or the budget is spent.
        """
        messages = judge_messages(self.prompt, exchanges, rubric=self.rubric)
        seed = derive_seed(self.seed, "judge", dialogue, len(exchanges), repetition) >> 32
        try:
            first = await self._ask(messages, seed)
        except RequestError as error:
            return Verdict("failed", reason=error.what), []
        verdict = self._read(first)
        if verdict.status != "unparsable":
            return verdict, [first]
        try:
            again = repair_messages(messages, first.text, rubric=self.rubric)
            second = await self._ask(again, seed)
        except RequestError:
            return verdict, [first]
        return self._read(second), [first, second]

    def _read(self, reply: Reply) -> Verdict:
        if reply.refusal is not None:
            return Verdict("refused", reason=reply.refusal)
        return parse_verdict(without_thoughts(reply.text), rubric=self.rubric)

    async def _ask(self, messages: list[dict[str, str]], seed: int) -> Reply:
        """Asks with the schema; a server that refuses schemas is asked without from then on."""
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": 0.0,
            "max_tokens": self.max_tokens,
            "seed": seed,
        }
        if self._knows_schemas:
            try:
                return await self.client.ask({**body, "response_format": self.rubric.schema()})
            except RequestError as error:
                if not _is_about_schemas(error):
                    raise
                logger.info("the server takes no response_format: the prompt alone asks for JSON")
                self._knows_schemas = False
        return await self.client.ask(body)


def _is_about_schemas(error: RequestError) -> bool:
    words = ("response_format", "json_schema", "Unexpected fields", "guided", "structured")
    is_refused = "BadRequestError" in error.what or "UnprocessableEntityError" in error.what
    return is_refused and any(word in error.what for word in words)


async def judge_dialogues(
    dialogues: Sequence[Mapping[str, Any]], *, judge: Judge, max_failed_share: float
) -> tuple[list[dict[str, Any]], int, int]:
    """A verdict on every exchange, in the order of the dialogues.

    Args:
        dialogues: of simulation_data.json.
        judge: who scores.
        max_failed_share: share of verdicts that may be none.
    Returns:
        The verdicts as evaluation_results.json holds them, and the judge's prompt and completion
        tokens.
    Raises:
        EngineError: the server cannot be used, or too many verdicts are none.
    """
    places = [(each, index) for each in dialogues for index in range(len(each["exchanges"]))]
    made: dict[int, tuple[Verdict, list[Reply]]] = {}
    bad: list[Verdict] = []
    # What is not yet asked can still profit from what the server's first replies teach.
    slots = asyncio.Semaphore(judge.client.access.concurrency)

    async def score(number: int) -> None:
        dialogue, index = places[number]
        so_far = dialogue["exchanges"][: index + 1]
        async with slots:
            made[number] = await judge.verdict(dialogue["id"], so_far)
        if made[number][0].status != "scored":
            bad.append(made[number][0])
            _check_failures(bad, len(places), max_failed_share)

    await run_all([score(number) for number in range(len(places))], what="verdicts")
    replies = [reply for _, each in made.values() for reply in each]
    rows = [
        {
            "dialogue_id": dialogue["id"],
            "exchange": index,
            "status": made[number][0].status,
            "scores": made[number][0].scores,
            "mean": made[number][0].mean,
            "reason": made[number][0].reason,
        }
        for number, (dialogue, index) in enumerate(places)
    ]
    return (
        rows,
        sum(reply.num_prompt_tokens for reply in replies),
        sum(reply.num_completion_tokens for reply in replies),
    )


def count_verdicts(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Verdicts by status."""
    counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
    for each in verdicts:
        counts[each["status"]] += 1
    return {"exchanges": len(verdicts), **counts}


def _check_failures(bad: Sequence[Verdict], number: int, share: float) -> None:
    """Stops as soon as the share can no longer be kept."""
    if len(bad) > share * number:
        statuses = {status: sum(each.status == status for each in bad) for status in STATUSES}
        listed = ", ".join(f"{name} {count}" for name, count in statuses.items() if count)
        raise EngineError(
            f"{len(bad):,} of {number:,} verdicts are none ({listed}), more than max_failed_share "
            f"({share:g}); the last: {bad[-1].reason}",
            hint="answers so far are kept; look at the judge's prompt and model",
        )

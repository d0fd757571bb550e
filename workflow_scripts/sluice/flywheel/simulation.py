"""Dialogues of a simulated user and a local model, many at once, each exchange kept as it ends."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sluice.errors import EngineError
from sluice.flywheel.exchange_log import ExchangeLog
from sluice.flywheel.messages import without_thoughts
from sluice.flywheel.server_commands import Asking
from sluice.flywheel.simulated_user import PROBLEMS, SimulatedUser
from sluice.llm.client import ChatClient, RequestError
from sluice.llm.replies import Reply
from sluice.logs import get_logger, progress
from sluice.seeds import derive_seed
from sluice.topics import Topic

logger = get_logger(__name__)

Status = Literal["complete", "ended_early", "failed"]


@dataclass
class Dialogue:
    """A dialogue as far as it came."""

    topic: Topic
    persona: str
    language: str
    status: Status = "complete"
    user_problems: list[str] = field(default_factory=list)
    exchanges: list[dict[str, Any]] = field(default_factory=list)
    num_prompt_tokens: int = 0
    """Of all requests to the simulated user."""
    num_completion_tokens: int = 0


@dataclass(frozen=True)
class LocalModel:
    """The model that answers."""

    client: ChatClient
    asking: Asking
    system_prompt: str | None
    keep_thoughts: bool
    seed: int
    check: Callable[[], None] = lambda: None
    """Raises an EngineError when its server has ended."""

    async def answer(
        self, topic: Topic, exchanges: Sequence[dict[str, Any]], message: str
    ) -> Reply:
        """Its answer to a user's message.

        Raises:
            RequestError: this request cannot be answered.
            EngineError: the server has ended.
        """
        seed = derive_seed(self.seed, "answer", topic.id, len(exchanges)) >> 32
        try:
            return await self.client.ask(
                self.asking.body(self._messages(exchanges, message), seed=seed)
            )
        except RequestError:
            self.check()
            raise

    def _messages(self, exchanges: Sequence[dict[str, Any]], message: str) -> list[dict[str, str]]:
        messages = []
        if self.system_prompt:
            messages.append({"role": "system", "content": self.system_prompt})
        for each in exchanges:
            said = each["assistant"]
            shown = said if self.keep_thoughts else without_thoughts(said)
            messages += [
                {"role": "user", "content": each["user"]},
                {"role": "assistant", "content": shown},
            ]
        return [*messages, {"role": "user", "content": message}]


@dataclass(frozen=True)
class Plan:
    """Which dialogues are wanted."""

    num_exchanges: int
    personas: tuple[str, ...]
    languages: tuple[str, ...]
    concurrency: int
    max_failed_share: float
    seed: int

    def begin(self, topic: Topic) -> Dialogue:
        """A topic's dialogue before it begins: persona and language go by seed and id."""
        drawn = derive_seed(self.seed, "persona", topic.id)
        persona = self.personas[drawn % len(self.personas)] if self.personas else ""
        drawn = derive_seed(self.seed, "language", topic.id)
        language = topic.language or self.languages[drawn % len(self.languages)]
        return Dialogue(topic, persona, language)


async def simulate(
    topics: Sequence[Topic],
    *,
    plan: Plan,
    user: SimulatedUser,
    model: LocalModel,
    log: ExchangeLog,
) -> list[Dialogue]:
    """One dialogue per topic, in the order of the topics.

    Args:
        topics: what they are about.
        plan: how many exchanges, with whom, how many at once.
        user: who asks.
        model: who answers.
        log: exchanges of an interrupted run, which are not made again; new ones are added.
    Raises:
        EngineError: a server cannot be used, a budget is spent, or more dialogues than
            ``plan.max_failed_share`` got no answer.
    """
    if log.num_exchanges:
        logger.info("%d exchanges are there from an interrupted run", log.num_exchanges)
    slots = asyncio.Semaphore(plan.concurrency)
    dialogues = [plan.begin(topic) for topic in topics]
    failures: list[str] = []

    async def hold(dialogue: Dialogue) -> None:
        async with slots:
            try:
                await _hold(dialogue, plan=plan, user=user, model=model, log=log)
            except RequestError as error:
                dialogue.status = "failed"
                failures.append(error.what)
                logger.warning("dialogue %s got no answer: %s", dialogue.topic.id, error.what)
        if len(failures) > plan.max_failed_share * len(dialogues):
            raise _too_many(failures, len(dialogues), plan.max_failed_share)

    await run_all([hold(dialogue) for dialogue in dialogues], what="dialogues")
    return dialogues


async def run_all(work: Sequence[Awaitable[None]], *, what: str) -> None:
    """Awaits all of it, with progress in the log; the first error stops what is under way."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        ended = asyncio.as_completed(tasks)
        for each in progress(ended, total=len(tasks), what=what, logger=logger):
            await each
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hold(
    dialogue: Dialogue, *, plan: Plan, user: SimulatedUser, model: LocalModel, log: ExchangeLog
) -> None:
    """Holds one dialogue to its end, from wherever an interrupted run left it."""
    topic = dialogue.topic
    dialogue.exchanges = log.exchanges(topic.id)
    for each in dialogue.exchanges:
        dialogue.user_problems += each["user_problems"]
        dialogue.num_prompt_tokens += each["user_prompt_tokens"]
        dialogue.num_completion_tokens += each["user_completion_tokens"]
    while len(dialogue.exchanges) < plan.num_exchanges:
        turn = await user.next_message(
            topic,
            persona=dialogue.persona,
            language=dialogue.language,
            exchanges=dialogue.exchanges,
        )
        dialogue.user_problems += turn.problems
        dialogue.num_prompt_tokens += turn.num_prompt_tokens
        dialogue.num_completion_tokens += turn.num_completion_tokens
        if turn.message is None:
            dialogue.status = "ended_early"
            return
        began = time.monotonic()
        reply = await model.answer(topic, dialogue.exchanges, turn.message)
        exchange = {
            "user": turn.message,
            "assistant": reply.text if reply.refusal is None else reply.refusal,
            "reference": topic.reference_for(turn.message),
            "is_cut_off": reply.finish_reason == "length",
            "latency_s": round(time.monotonic() - began, 3),
            "prompt_tokens": reply.num_prompt_tokens,
            "completion_tokens": reply.num_completion_tokens,
            "user_prompt_tokens": turn.num_prompt_tokens,
            "user_completion_tokens": turn.num_completion_tokens,
            "user_problems": list(turn.problems),
        }
        log.add(topic.id, exchange)
        dialogue.exchanges.append(exchange)


def describe(dialogues: Sequence[Dialogue]) -> list[dict[str, Any]]:
    """The dialogues as simulation_data.json holds them."""
    return [
        {
            "id": each.topic.id,
            "topic": each.topic.topic,
            "topic_id": each.topic.id,
            "category": each.topic.category,
            "persona": each.persona,
            "language": each.language,
            "status": each.status,
            "user_problems": each.user_problems,
            "exchanges": [
                {key: value for key, value in exchange.items() if key != "user_problems"}
                for exchange in each.exchanges
            ],
        }
        for each in dialogues
    ]


def count(dialogues: Sequence[Dialogue]) -> dict[str, int]:
    """Dialogues by status, exchanges, and each problem's number of occurrences."""
    statuses = Counter(each.status for each in dialogues)
    problems = Counter(name for each in dialogues for name in each.user_problems)
    exchanges = [exchange for each in dialogues for exchange in each.exchanges]
    return {
        "dialogues": len(dialogues),
        "complete": statuses["complete"],
        "ended_early": statuses["ended_early"],
        "failed": statuses["failed"],
        "exchanges": len(exchanges),
        "answers_cut_off": sum(each["is_cut_off"] for each in exchanges),
        "answers_empty": sum(not without_thoughts(each["assistant"]) for each in exchanges),
        **{f"user_{name}": problems[name] for name in PROBLEMS},
    }


def _too_many(failures: Sequence[str], number: int, share: float) -> EngineError:
    return EngineError(
        f"{len(failures):,} of {number:,} dialogues got no answer, more than max_failed_share "
        f"({share:g}); the last: {failures[-1]}",
        hint="exchanges so far are kept; run again to go on from there",
    )

"""A run of simulate_dialogues: topics and a model in, simulation_data.json out."""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.chat import load_tokenizer
from sluice.chat_tokens import special_token_pattern
from sluice.errors import DataError
from sluice.files import read_text, write_json
from sluice.flywheel.exchange_log import ExchangeLog
from sluice.flywheel.local_server import LocalServer, serve_locally
from sluice.flywheel.server_commands import asking
from sluice.flywheel.simulated_user import SimulatedUser
from sluice.flywheel.simulation import Dialogue, LocalModel, Plan, count, describe, simulate
from sluice.flywheel.speaking import reachable
from sluice.llm.cache import AnswerCache
from sluice.llm.client import Access, ChatClient
from sluice.llm.replies import Usage
from sluice.llm.spending import Prices
from sluice.llm.spending_log import SpendingLog
from sluice.logs import get_logger
from sluice.settings.base import dump_tracked
from sluice.settings.flywheel import SimulateDialogues
from sluice.settings.llm import Endpoint
from sluice.state import clear_state, open_state
from sluice.topics import Topic, choose_topics, read_topics

logger = get_logger(__name__)

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Sources:
    """What a run reads."""

    model: str
    revision: str | None
    topics: tuple[Path, ...]
    num_topics: int | None
    part: str
    """Name of the draw of topics."""
    user_prompt: Path
    law: Path
    """What the offline user knows."""


def simulate_dialogues(
    sources: Sources,
    *,
    settings: SimulateDialogues,
    endpoint: Endpoint,
    output: Path,
    state_root: Path,
    answer_cache: Path,
) -> None:
    """Serves the model, lets it talk, writes what was said.

    Args:
        sources: model, topics, prompts.
        settings: how long, with whom, how the model answers.
        endpoint: who plays the user.
        output: simulation_data.json.
        state_root: where progress of this rule is kept.
        answer_cache: where paid answers are kept.
    Raises:
        DataError: topics or prompts cannot be read.
        ModelError: the model has no chat template or no end-of-answer token.
        EngineError: a server cannot be used, or too many dialogues failed.
    """
    everything = read_topics(sources.topics)
    topics = choose_topics(
        everything, number=sources.num_topics, seed=settings.seed, part=sources.part
    )
    user_prompt = read_prompt(sources.user_prompt)
    system_prompt = read_prompt(Path(settings.system_prompt)) if settings.system_prompt else None
    # Without a template no server answers.
    tokenizer = load_tokenizer(sources.model, revision=sources.revision)
    state = open_state(
        state_root,
        script="simulate_dialogues",
        settings=_what_counts(sources, settings, endpoint),
        inputs=_inputs(sources, settings),
    )
    log = ExchangeLog(state / "exchanges.jsonl")
    with contextlib.ExitStack() as stack:
        user_access = stack.enter_context(reachable(endpoint, law_path=sources.law))
        server = stack.enter_context(
            serve_locally(
                sources.model,
                settings,
                revision=sources.revision,
                log_path=state / "server.log",
            )
        )
        dialogues = asyncio.run(
            _talk(
                topics,
                settings=settings,
                sources=sources,
                prompts=(user_prompt, system_prompt),
                user_model=endpoint.model,
                access=user_access,
                cache=AnswerCache(answer_cache),
                spent=SpendingLog(answer_cache, output=output),
                server=server,
                special_tokens=special_token_pattern(tokenizer),
                log=log,
            )
        )
    counts = count(dialogues)
    logger.info(", ".join(f"{name} {number:,}" for name, number in counts.items()))
    write_json(
        output,
        {
            "format_version": FORMAT_VERSION,
            "model": sources.model,
            "user_model": endpoint.model,
            "system_prompt": system_prompt,
            "settings": {
                **dump_tracked(settings),
                "part": sources.part,
                "user_prompt": sources.user_prompt.name,
            },
            "dialogues": describe(dialogues),
            "counts": counts,
            "spending": _spending(dialogues, user_access.prices),
        },
    )
    clear_state(state)


async def _talk(
    topics: Sequence[Topic],
    *,
    settings: SimulateDialogues,
    sources: Sources,
    prompts: tuple[str, str | None],
    user_model: str,
    access: Access,
    cache: AnswerCache,
    spent: SpendingLog,
    server: LocalServer,
    special_tokens: re.Pattern[str] | None,
    log: ExchangeLog,
) -> list[Dialogue]:
    user_prompt, system_prompt = prompts
    how = asking(
        server.kind,
        model=sources.model,
        revision=sources.revision,
        served_as=server.model,
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
    )
    local = Access(server.url, concurrency=how.concurrency or access.concurrency)
    user_client, model_client = ChatClient(access, cache=cache, log=spent), ChatClient(local)
    async with user_client, model_client:
        dialogues = await simulate(
            topics,
            plan=Plan(
                num_exchanges=settings.exchanges,
                personas=settings.personas,
                languages=settings.languages,
                concurrency=access.concurrency,
                max_failed_share=settings.max_failed_share,
                seed=settings.seed,
            ),
            user=SimulatedUser(
                client=user_client,
                model=user_model,
                prompt=user_prompt,
                temperature=settings.user_temperature,
                max_tokens=settings.user_max_tokens,
                num_exchanges=settings.exchanges,
                seed=settings.seed,
                special_tokens=special_tokens,
            ),
            model=LocalModel(
                client=model_client,
                asking=how,
                system_prompt=system_prompt,
                keep_thoughts=settings.keep_thoughts,
                seed=settings.seed,
                check=server.check,
            ),
            log=log,
        )
        logger.info(
            "simulated user: %d requests sent, %d answers kept from before, %.4f spent now, %.4f "
            "before; model: %d requests",
            user_client.spending.num_requests,
            user_client.num_kept,
            user_client.spending.cost,
            spent.earlier.cost,
            model_client.spending.num_requests,
        )
        return dialogues


def read_prompt(path: Path) -> str:
    """The text of a prompt file.

    Raises:
        DataError: it is missing, empty or not UTF-8.
    """
    text = read_text(path).strip()
    if not text:
        raise DataError(f"the prompt {path} is empty")
    return text


def _spending(dialogues: Sequence[Dialogue], prices: Prices) -> dict[str, float]:
    """What the simulated user's messages are worth, whenever they were paid for."""
    num_prompt = sum(each.num_prompt_tokens for each in dialogues)
    num_completion = sum(each.num_completion_tokens for each in dialogues)
    return prices.book(Usage(num_prompt, num_completion))


def _what_counts(
    sources: Sources, settings: SimulateDialogues, endpoint: Endpoint
) -> dict[str, Any]:
    """Everything that can change the dialogues, beside files."""
    is_local = Path(sources.model).exists()
    return {
        **dump_tracked(settings),
        "model": None if is_local else sources.model,
        "revision": sources.revision,
        "num_topics": sources.num_topics,
        "part": sources.part,
        "user": [endpoint.base_url, endpoint.model],
    }


def _inputs(sources: Sources, settings: SimulateDialogues) -> list[Path]:
    local = [Path(sources.model)] if Path(sources.model).exists() else []
    system = [Path(settings.system_prompt)] if settings.system_prompt else []
    return [*sources.topics, sources.user_prompt, sources.law, *system, *local]

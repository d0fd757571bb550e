"""The engine for any OpenAI-compatible server: OpenAI, DeepSeek, vLLM's and transformers' own.

How requests are sent, sent again, paid for and kept is `sluice.llm.client`'s; here they are made of
prompts, and answers become completions.
"""

import asyncio
from collections.abc import AsyncIterator, Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sluice.engines.engine import Completion, Request, Sampling, Unfinished
from sluice.errors import EngineError
from sluice.llm.access import access_by, key_place, read_key
from sluice.llm.cache import AnswerCache
from sluice.llm.client import FIRST_WAIT_S, NO_KEY, ChatClient
from sluice.llm.replies import Reply
from sluice.llm.spending import Budget, Spending
from sluice.llm.spending_log import SpendingLog
from sluice.logs import get_logger
from sluice.settings.engine import EngineSettings

logger = get_logger(__name__)

_OPENAI_URL = "https://api.openai.com/v1"


class OpenAIEngine:
    """Completions of a model that a server holds.

    Args:
        model: the name that the server knows.
        client: how the server is asked.
    """

    def __init__(self, model: str, *, client: ChatClient) -> None:
        self._model = model
        self._client = client

    @property
    def spending(self) -> Spending:
        """What was sent and billed so far."""
        return self._client.spending

    def generate(
        self,
        requests: Sequence[Request],
        *,
        sampling: Sampling,
        skip: Container[int] = (),
        unfinished: Unfinished | None = None,
    ) -> Iterator[tuple[int, Completion]]:
        """Yields (index into requests, completion) as answers come; see `Engine.generate`."""
        wanted = [index for index in range(len(requests)) if index not in skip]
        open_ = []
        for index in wanted:
            kept = self._client.kept(self._body(requests[index], sampling))
            if kept is None:
                open_.append(index)
            else:
                yield index, _completion(kept)
        if len(open_) < len(wanted):
            logger.info(
                "%d of %d answers are kept from before", len(wanted) - len(open_), len(wanted)
            )
        yield from self._ask(requests, open_, sampling=sampling)
        logger.info(
            "%d requests sent, %d prompt tokens, %d completion tokens, %.4f spent",
            self.spending.num_requests,
            self.spending.num_prompt_tokens,
            self.spending.num_completion_tokens,
            self.spending.cost,
        )

    def _ask(
        self, requests: Sequence[Request], indices: list[int], *, sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        """Lets an event loop run while an answer is waited for."""
        with asyncio.Runner() as runner:
            answers = self._answers(requests, indices, sampling=sampling)
            while (answer := runner.run(_next(answers))) is not None:
                yield answer

    async def _answers(
        self, requests: Sequence[Request], indices: list[int], *, sampling: Sampling
    ) -> AsyncIterator[tuple[int, Completion]]:
        """Answers in the order in which they come, never more than ``concurrency`` under way."""
        waiting = iter(indices)
        running: dict[asyncio.Task[Reply], int] = {}
        async with self._client as client:
            try:
                while True:
                    while len(running) < client.access.concurrency:
                        index = next(waiting, None)
                        if index is None:
                            break
                        body = self._body(requests[index], sampling)
                        running[asyncio.ensure_future(client.ask(body))] = index
                    if not running:
                        return
                    done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        yield running.pop(task), _completion(task.result())
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": [message.model_dump() for message in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": request.seed,
        }


def connect(
    settings: EngineSettings,
    *,
    model: str,
    answer_cache: Path,
    output: Path | None,
    first_wait_s: float = FIRST_WAIT_S,
) -> OpenAIEngine:
    """The engine of a server; nothing is sent yet.

    Args:
        settings: the server, limits and prices.
        model: the name that the server knows.
        answer_cache: folder of paid answers, and of what each output has cost so far.
        output: what is made; its budget holds for all runs together. None: for this engine alone.
        first_wait_s: wait before the first retry.
    Raises:
        EngineError: the client library or the key is missing.
        ConfigError: the variable or the file holds what cannot be a key.
    """
    key = read_key(settings)
    if key == NO_KEY and settings.base_url is None:
        raise EngineError(
            f"{key_place(settings)} holds no key",
            hint=f"export {settings.api_key_env}=..., name its file as api_key_file, or name a "
            "server of your own: base_url",
        )
    access = access_by(
        settings,
        base_url=settings.base_url or _OPENAI_URL,
        key=key,
        budget=Budget(settings.max_requests, settings.max_billed_tokens, settings.max_cost),
        limits="max_requests, max_billed_tokens or max_cost",
    )
    client = ChatClient(
        replace(access, first_wait_s=first_wait_s),
        cache=AnswerCache(answer_cache),
        log=SpendingLog(answer_cache, output=output) if output else None,
    )
    return OpenAIEngine(model, client=client)


def _completion(reply: Reply) -> Completion:
    """A refusal is what the model wrote, too."""
    text = reply.text if reply.refusal is None else reply.refusal
    return Completion(text, reply.num_completion_tokens, reply.finish_reason)


async def _next(
    answers: AsyncIterator[tuple[int, Completion]],
) -> tuple[int, Completion] | None:
    return await anext(answers, None)

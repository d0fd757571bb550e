"""The engine for any OpenAI-compatible server: OpenAI, DeepSeek, vLLM's and transformers' own.

Requests run concurrently up to a bound; transient errors are sent again with growing waits; answers
are kept on disk; a budget stops the run. The key comes from the environment and stays in memory.
"""

import asyncio
import hashlib
import importlib.util
import json
import os
from collections.abc import AsyncIterator, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.engines.answer_cache import AnswerCache
from sluice.engines.engine import Completion, Request, Sampling
from sluice.engines.server_answers import MalformedAnswerError, read_answer
from sluice.errors import EngineError
from sluice.logs import get_logger
from sluice.settings.engine import EngineSettings

logger = get_logger(__name__)

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0
_OPENAI_URL = "https://api.openai.com/v1"
# The client library insists on a key, a server of one's own often does not.
_NO_KEY = "none"


@dataclass
class Spending:
    """What a run has sent and been billed for."""

    num_requests: int = 0
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0

    @property
    def num_tokens(self) -> int:
        """Tokens of prompts and completions together."""
        return self.num_prompt_tokens + self.num_completion_tokens


class OpenAIEngine:
    """Completions of a model that a server holds.

    Args:
        model: the name that the server knows.
        key: what the server asks for; it stays in memory.
        settings: address, concurrency, retries, budget.
        cache: where answers are kept.
        first_wait_s: wait before the first retry; it doubles with each further one.
    """

    def __init__(
        self,
        model: str,
        *,
        key: str,
        settings: EngineSettings,
        cache: AnswerCache,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        self._model = model
        self._key = key
        self._base_url = settings.base_url or _OPENAI_URL
        self._settings = settings
        self._cache = cache
        self._first_wait_s = first_wait_s
        self.spending = Spending()

    def generate(
        self,
        requests: Sequence[Request],
        *,
        sampling: Sampling,
        skip: Container[int] = (),
    ) -> Iterator[tuple[int, Completion]]:
        """Yields (index into requests, completion) as answers come; see `Engine.generate`."""
        wanted = [index for index in range(len(requests)) if index not in skip]
        open_ = []
        for index in wanted:
            kept = self._cache.get(self._hash(requests[index], sampling))
            if kept is None:
                open_.append(index)
            else:
                yield index, kept
        if len(open_) < len(wanted):
            logger.info(
                "%d of %d answers are kept from before", len(wanted) - len(open_), len(wanted)
            )
        yield from self._ask(requests, open_, sampling=sampling)
        logger.info(
            "%d requests sent, %d prompt tokens, %d completion tokens",
            self.spending.num_requests,
            self.spending.num_prompt_tokens,
            self.spending.num_completion_tokens,
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
        running: dict[asyncio.Task[Completion], int] = {}
        client = self._connect()
        try:
            while True:
                while len(running) < self._settings.concurrency:
                    index = next(waiting, None)
                    if index is None:
                        break
                    task = asyncio.ensure_future(self._answer(client, requests[index], sampling))
                    running[task] = index
                if not running:
                    return
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield running.pop(task), task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await client.close()

    def _connect(self) -> Any:
        """A client for the event loop that is running; retries are ours."""
        import openai

        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._base_url,
            timeout=self._settings.timeout_s,
            max_retries=0,
        )

    async def _answer(self, client: Any, request: Request, sampling: Sampling) -> Completion:
        """Sends one request, again where the error is transient, and keeps the answer."""
        import openai

        transient = (
            openai.RateLimitError,
            openai.APITimeoutError,
            openai.APIConnectionError,
            openai.InternalServerError,
            MalformedAnswerError,
        )
        attempt = 0
        while True:
            self._check_budget()
            self.spending.num_requests += 1
            try:
                completion = await self._send(client, request, sampling)
            except transient as error:
                if attempt == self._settings.max_retries or _is_out_of_money(error):
                    raise self._failure(error, attempts=attempt + 1) from None
                wait_s = self._wait_s(error, attempt)
                logger.warning("%s; again in %.1f s", self._describe(error), wait_s)
                await asyncio.sleep(wait_s)
                attempt += 1
            except openai.APIError as error:
                raise self._failure(error, attempts=attempt + 1) from None
            else:
                self._cache.add(self._hash(request, sampling), completion)
                return completion

    async def _send(self, client: Any, request: Request, sampling: Sampling) -> Completion:
        try:
            answer = await client.chat.completions.create(
                model=self._model,
                messages=[message.model_dump() for message in request.messages],
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_new_tokens,
                seed=request.seed,
            )
        except json.JSONDecodeError as error:
            raise MalformedAnswerError(f"the answer is not JSON: {error}") from None
        completion = read_answer(answer)
        self.spending.num_prompt_tokens += int(getattr(answer.usage, "prompt_tokens", 0) or 0)
        self.spending.num_completion_tokens += completion.num_tokens
        return Completion(
            self._redact(completion.text), completion.num_tokens, completion.finish_reason
        )

    def _check_budget(self) -> None:
        for name, spent, budget in (
            ("requests", self.spending.num_requests, self._settings.max_requests),
            ("tokens", self.spending.num_tokens, self._settings.max_billed_tokens),
        ):
            if budget is not None and spent >= budget:
                raise EngineError(
                    f"the budget is spent: {spent:,} {name} of {budget:,}",
                    hint="answers so far are kept; raise max_requests or max_billed_tokens and run "
                    "again to go on from there",
                )

    def _wait_s(self, error: Exception, attempt: int) -> float:
        """The server's own wish where it names one, else twice as long as the last time."""
        headers = getattr(getattr(error, "response", None), "headers", {})
        try:
            wished = float(headers.get("retry-after", 0))
        except ValueError:
            wished = 0.0
        return float(min(max(wished, self._first_wait_s * 2**attempt), _LONGEST_WAIT_S))

    def _failure(self, error: Exception, *, attempts: int) -> EngineError:
        tries = f" ({attempts} attempts)" if attempts > 1 else ""
        status = getattr(error, "status_code", None)
        hints = {
            401: f"put a valid key into the environment variable {self._settings.api_key_variable}",
            403: f"the key in {self._settings.api_key_variable} may not use this model",
            404: "check base_url and the model's name; GET <base_url>/models lists the names",
            429: "lower concurrency, or check the account's limits",
        }
        return EngineError(
            f"the server gives no answer{tries}: {self._describe(error)}",
            where=self._base_url,
            hint=hints.get(status or 0, "answers so far are kept; run again to go on from there"),
        )

    def _describe(self, error: Exception) -> str:
        """The error in a line, without the key, should the server quote it."""
        text = " ".join(str(error).split()) or type(error).__name__
        return self._redact(f"{type(error).__name__}: {text[:300]}")

    def _redact(self, text: str) -> str:
        # The placeholder for servers without keys is an ordinary word.
        return text if self._key == _NO_KEY else text.replace(self._key, "[key]")

    def _hash(self, request: Request, sampling: Sampling) -> str:
        asked = {
            "server": self._base_url,
            "model": self._model,
            "messages": [message.model_dump() for message in request.messages],
            "seed": request.seed,
            **vars(sampling),
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def connect(
    settings: EngineSettings, *, model: str, answer_cache: Path, first_wait_s: float = _FIRST_WAIT_S
) -> OpenAIEngine:
    """The engine of a server; nothing is sent yet.

    Raises:
        EngineError: the client library or the key is missing.
    """
    if importlib.util.find_spec("openai") is None:
        raise EngineError(
            "the engine openai needs the client library, which is not installed",
            hint="pip install -r requirements.txt",
        )
    key = os.environ.get(settings.api_key_variable)
    if not key and settings.base_url is None:
        raise EngineError(
            f"the environment variable {settings.api_key_variable} holds no key",
            hint=f"export {settings.api_key_variable}=..., or name a server of your own: base_url",
        )
    return OpenAIEngine(
        model,
        key=key or _NO_KEY,
        settings=settings,
        cache=AnswerCache(answer_cache),
        first_wait_s=first_wait_s,
    )


def _is_out_of_money(error: Exception) -> bool:
    """Whether a 429 says that the account is empty, which no waiting mends."""
    return getattr(error, "code", None) == "insufficient_quota"


async def _next(
    answers: AsyncIterator[tuple[int, Completion]],
) -> tuple[int, Completion] | None:
    return await anext(answers, None)

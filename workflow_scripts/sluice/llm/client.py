"""A client for any OpenAI-compatible server: OpenAI, DeepSeek, vLLM's and transformers' own.

Requests run concurrently up to a bound; transient errors are sent again with growing waits; answers
are kept on disk; a budget stops the run. The key stays in memory.
"""

import asyncio
import hashlib
import importlib.util
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from sluice.errors import EngineError
from sluice.llm.cache import AnswerCache
from sluice.llm.replies import MalformedAnswerError, Reply, read_reply
from sluice.llm.spending import Budget, Prices, Spending, check_budget
from sluice.logs import get_logger

logger = get_logger(__name__)

FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0
NO_KEY = "none"
"""The client library insists on a key, a server of one's own often does not."""


class RequestError(EngineError):
    """One request stays without an answer; others to the same server may do better."""


@dataclass(frozen=True)
class Access:
    """How a server is reached, and what may be asked of it."""

    base_url: str
    key: str = NO_KEY
    identity: str | None = None
    """What stands for the server in the hash of a request, where its address says nothing: a
    server on a free port has another one each time."""
    key_place: str = "the environment"
    """Where the key was looked for, for an error message."""
    concurrency: int = 32
    timeout_s: float = 600.0
    max_retries: int = 6
    budget: Budget = field(default_factory=Budget)
    budget_hint: str = "answers so far are kept; raise the budget and run again to go on from there"
    prices: Prices = field(default_factory=Prices)
    first_wait_s: float = FIRST_WAIT_S
    """Wait before the first retry; it doubles with each further one."""


class ChatClient:
    """Sends chat completions while its ``async with`` block runs.

    Args:
        access: the server, limits and prices.
        cache: where answers are kept; None keeps none.
    Raises:
        EngineError: the client library is not installed.
    """

    def __init__(self, access: Access, *, cache: AnswerCache | None = None) -> None:
        if importlib.util.find_spec("openai") is None:
            raise EngineError(
                "servers are asked with the library openai, which is not installed",
                hint="pip install -r requirements.txt",
            )
        self.access = access
        self.spending = Spending()
        self._cache = cache
        self._client: Any = None
        self._slots = asyncio.Semaphore(access.concurrency)

    async def __aenter__(self) -> Self:
        import openai

        self._slots = asyncio.Semaphore(self.access.concurrency)
        self._client = openai.AsyncOpenAI(
            api_key=self.access.key,
            base_url=self.access.base_url,
            timeout=self.access.timeout_s,
            max_retries=0,  # retries are ours
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.close()

    def kept(self, body: Mapping[str, Any]) -> Reply | None:
        """The answer to a request that was answered before, in whichever run."""
        return self._cache.get(self._hash(body)) if self._cache else None

    async def ask(self, body: Mapping[str, Any]) -> Reply:
        """The answer to one request, kept or new.

        Args:
            body: a chat completion's arguments: model, messages, temperature ...
        Raises:
            RequestError: this request is refused, or transient errors outlast the retries.
            EngineError: no request can succeed: wrong key or model, empty account, spent budget.
        """
        reply = self.kept(body)
        if reply is not None:
            self.spending.num_kept += 1
            return reply
        reply = await self._send_until_answered(body)
        if self._cache:
            self._cache.add(self._hash(body), reply)
        return reply

    async def _send_until_answered(self, body: Mapping[str, Any]) -> Reply:
        """Sends a request, and again where the error is transient."""
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
            try:
                async with self._slots:
                    return await self._send(body)
            except transient as error:
                is_empty = _is_out_of_money(error)
                if is_empty or attempt == self.access.max_retries:
                    kind = EngineError if is_empty else RequestError
                    raise self._failure(error, kind=kind, attempts=attempt + 1) from None
                wait_s = self.wait_s(error, attempt)
                logger.warning("%s; again in %.1f s", self._describe(error), wait_s)
                await asyncio.sleep(wait_s)
                attempt += 1
            except openai.APIError as error:
                status = getattr(error, "status_code", None)
                kind = EngineError if status in (401, 403, 404) else RequestError
                raise self._failure(error, kind=kind, attempts=attempt + 1) from None

    async def _send(self, body: Mapping[str, Any]) -> Reply:
        access = self.access
        check_budget(self.spending, access.budget, prices=access.prices, hint=access.budget_hint)
        self.spending.num_requests += 1
        try:
            answer = await self._client.chat.completions.create(**body)
        except json.JSONDecodeError as error:
            raise MalformedAnswerError(f"the answer is not JSON: {error}") from None
        reply = read_reply(answer)
        self.spending.add(reply)
        refusal = None if reply.refusal is None else self._redact(reply.refusal)
        return replace(reply, text=self._redact(reply.text), refusal=refusal)

    def wait_s(self, error: Exception, attempt: int) -> float:
        """Seconds until the next attempt: the server's own wish where it names a longer one.

        Without it the bound doubles each time, and the wait lies anywhere in its upper half, so
        that clients that failed together do not come back together.
        """
        headers = getattr(getattr(error, "response", None), "headers", {})
        try:
            wished = float(headers.get("retry-after", 0))
        except ValueError:
            wished = 0.0
        bound = self.access.first_wait_s * 2 ** min(attempt, 30)
        return float(min(max(wished, bound * random.uniform(0.5, 1.0)), _LONGEST_WAIT_S))

    def _failure(self, error: Exception, *, kind: type[EngineError], attempts: int) -> EngineError:
        tries = f" ({attempts} attempts)" if attempts > 1 else ""
        status = getattr(error, "status_code", None)
        hints = {
            401: f"put a valid key into {self.access.key_place}",
            403: f"the key in {self.access.key_place} may not use this model",
            404: "check base_url and the model's name; GET <base_url>/models lists the names",
            429: "lower concurrency, or check the account's limits",
        }
        return kind(
            f"the server gives no answer{tries}: {self._describe(error)}",
            where=self.access.base_url,
            hint=hints.get(status or 0, "answers so far are kept; run again to go on from there"),
        )

    def _describe(self, error: Exception) -> str:
        """The error in a line, without the key, should the server quote it."""
        text = " ".join(str(error).split()) or type(error).__name__
        return f"{type(error).__name__}: {self._redact(text)[:300]}"

    def _redact(self, text: str) -> str:
        # The placeholder for servers without keys is an ordinary word.
        return text if self.access.key == NO_KEY else text.replace(self.access.key, "[key]")

    def _hash(self, body: Mapping[str, Any]) -> str:
        asked = {"server": self.access.identity or self.access.base_url, "body": dict(body)}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _is_out_of_money(error: Exception) -> bool:
    """Whether a 429 says that the account is empty, which no waiting mends."""
    return getattr(error, "code", None) == "insufficient_quota"

"""A client for any OpenAI-compatible server: OpenAI, DeepSeek, vLLM's and transformers' own.

Requests run concurrently up to a bound; transient errors are sent again with growing waits; answers
are kept on disk; a budget, which may hold for several runs, stops the run. The key stays in memory.
"""

import asyncio
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from sluice.errors import EngineError
from sluice.llm.cache import AnswerCache
from sluice.llm.replies import MalformedAnswerError, Reply, Usage, read_reply, read_usage
from sluice.llm.spending import Budget, Prices, Spending, check_budget
from sluice.llm.spending_log import SpendingLog
from sluice.llm.waiting import LONGEST_WISH_S, wait_s, wished_wait_s
from sluice.logs import get_logger

logger = get_logger(__name__)

FIRST_WAIT_S = 0.5
# Wrong key, empty account (as DeepSeek says it), no leave, no such model: no request can succeed.
_HOPELESS = (401, 402, 403, 404)
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
        log: where the spending of all runs is kept, to which the budget then applies; with None it
            applies to this client's alone.
    Raises:
        EngineError: the client library is not installed.
    """

    def __init__(
        self,
        access: Access,
        *,
        cache: AnswerCache | None = None,
        log: SpendingLog | None = None,
    ) -> None:
        if importlib.util.find_spec("openai") is None:
            raise EngineError(
                "servers are asked with the library openai, which is not installed",
                hint="pip install -r requirements.txt",
            )
        self.access = access
        self.spending = Spending()
        """What this client sent and was billed."""
        self.num_kept = 0
        """Answers that an earlier run had paid for."""
        self.answered = Usage(0, 0)
        """What the answers that were given are worth, kept ones too."""
        self._cache = cache
        self._log = log
        self._earlier = log.earlier if log else Spending()
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
            self.num_kept += 1
        else:
            reply = await self._send_until_answered(body)
            if self._cache:
                self._cache.add(self._hash(body), reply)
        self.answered = Usage(
            self.answered.num_prompt_tokens + reply.num_prompt_tokens,
            self.answered.num_completion_tokens + reply.num_completion_tokens,
        )
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
                wished_s = wished_wait_s(error)
                if wished_s > LONGEST_WISH_S:
                    raise self._too_long(error, wished_s) from None
                pause_s = wait_s(attempt, first_wait_s=self.access.first_wait_s, wished_s=wished_s)
                logger.warning("%s; again in %.1f s", self._describe(error), pause_s)
                await asyncio.sleep(pause_s)
                attempt += 1
            except openai.APIError as error:
                status = getattr(error, "status_code", None)
                kind = EngineError if status in _HOPELESS else RequestError
                raise self._failure(error, kind=kind, attempts=attempt + 1) from None

    async def _send(self, body: Mapping[str, Any]) -> Reply:
        access = self.access
        check_budget(
            self.spending, earlier=self._earlier, budget=access.budget, hint=access.budget_hint
        )
        self._spend(Spending(num_requests=1))
        try:
            answer = await self._client.chat.completions.create(**body)
        except json.JSONDecodeError as error:
            raise MalformedAnswerError(f"the answer is not JSON: {error}") from None
        # An answer that cannot be used is billed as well.
        usage = read_usage(answer)
        tokens = (usage.num_prompt_tokens, usage.num_completion_tokens)
        self._spend(Spending(0, *tokens, cost=access.prices.cost(usage)))
        reply = read_reply(answer)
        refusal = None if reply.refusal is None else self._redact(reply.refusal)
        return replace(reply, text=self._redact(reply.text), refusal=refusal)

    def _spend(self, part: Spending) -> None:
        """Counts what was sent or billed, on disk first."""
        if self._log:
            self._log.add(part)
        self.spending.add(part)

    def _too_long(self, error: Exception, wished_s: float) -> EngineError:
        return EngineError(
            f"the server asks to wait {wished_s:,.0f} s: {self._describe(error)}",
            where=self.access.base_url,
            expected=f"a wait of at most {LONGEST_WISH_S:,.0f} s (Retry-After)",
            hint="answers so far are kept; run again after that time to go on from there",
        )

    def _failure(self, error: Exception, *, kind: type[EngineError], attempts: int) -> EngineError:
        tries = f" ({attempts} attempts)" if attempts > 1 else ""
        status = getattr(error, "status_code", None)
        hints = {
            401: f"put a valid key into {self.access.key_place}",
            402: f"the account of the key in {self.access.key_place} is empty; answers so far are "
            "kept, and a run goes on from there once it is topped up",
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

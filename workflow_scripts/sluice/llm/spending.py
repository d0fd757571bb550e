"""What a run has sent and been billed for, and what it may spend."""

from dataclasses import dataclass

from sluice.errors import EngineError
from sluice.llm.replies import Reply

_MILLION = 1_000_000


@dataclass(frozen=True)
class Prices:
    """What a server asks for a million tokens; one currency throughout, whichever it is."""

    per_million_input: float = 0.0
    per_million_output: float = 0.0

    def cost(self, *, num_prompt_tokens: int, num_completion_tokens: int) -> float:
        """The price of so many tokens."""
        paid_in = num_prompt_tokens * self.per_million_input
        return (paid_in + num_completion_tokens * self.per_million_output) / _MILLION


@dataclass(frozen=True)
class Budget:
    """What a run may spend at most; None is no limit."""

    max_requests: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None


@dataclass
class Spending:
    """What a run has sent and been billed for."""

    num_requests: int = 0
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    num_kept: int = 0
    """Answers that an earlier run had paid for."""

    @property
    def num_tokens(self) -> int:
        """Tokens of prompts and completions together."""
        return self.num_prompt_tokens + self.num_completion_tokens

    def add(self, reply: Reply) -> None:
        """Counts the tokens of an answer."""
        self.num_prompt_tokens += reply.num_prompt_tokens
        self.num_completion_tokens += reply.num_completion_tokens

    def cost(self, prices: Prices) -> float:
        """What the tokens cost."""
        return prices.cost(
            num_prompt_tokens=self.num_prompt_tokens,
            num_completion_tokens=self.num_completion_tokens,
        )


def check_budget(spending: Spending, budget: Budget, *, prices: Prices, hint: str) -> None:
    """Refuses a further request once a budget is spent; requests under way are still paid.

    Raises:
        EngineError: one of the limits is reached.
    """
    for name, spent, limit in (
        ("requests", spending.num_requests, budget.max_requests),
        ("tokens", spending.num_tokens, budget.max_tokens),
        ("of the price's currency", spending.cost(prices), budget.max_cost),
    ):
        if limit is not None and spent >= limit:
            raise EngineError(
                f"the budget is spent: {_number(spent)} {name} of {_number(limit)}", hint=hint
            )


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"

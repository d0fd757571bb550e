"""What has been sent and billed, and what may be spent."""

from dataclasses import dataclass

from sluice.errors import EngineError
from sluice.llm.replies import Usage

_MILLION = 1_000_000


@dataclass(frozen=True)
class Prices:
    """What a server asks for a million tokens; one currency throughout, whichever it is."""

    per_million_input: float = 0.0
    per_million_output: float = 0.0

    def cost(self, usage: Usage) -> float:
        """The price of so many tokens."""
        paid_in = usage.num_prompt_tokens * self.per_million_input
        return (paid_in + usage.num_completion_tokens * self.per_million_output) / _MILLION

    def book(self, usage: Usage) -> dict[str, float]:
        """The same tokens as the entry ``spending`` of an output."""
        return {
            "prompt_tokens": usage.num_prompt_tokens,
            "completion_tokens": usage.num_completion_tokens,
            "cost": round(self.cost(usage), 6),
        }


@dataclass(frozen=True)
class Budget:
    """What may be spent at most; None is no limit."""

    max_requests: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None


@dataclass
class Spending:
    """What has been sent and billed."""

    num_requests: int = 0
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    cost: float = 0.0
    """At the prices of the time at which it was billed."""

    @property
    def num_tokens(self) -> int:
        """Tokens of prompts and completions together."""
        return self.num_prompt_tokens + self.num_completion_tokens

    def add(self, part: "Spending") -> None:
        """Counts what was sent or billed since."""
        self.num_requests += part.num_requests
        self.num_prompt_tokens += part.num_prompt_tokens
        self.num_completion_tokens += part.num_completion_tokens
        self.cost += part.cost


def check_budget(now: Spending, *, earlier: Spending, budget: Budget, hint: str) -> None:
    """Refuses a further request once a budget is spent; requests under way are still paid.

    Args:
        now: what this run spent.
        earlier: what earlier runs spent of the same budget.
        budget: the limits.
        hint: how to go on.
    Raises:
        EngineError: one of the limits is reached.
    """
    for name, spent, before, limit in (
        ("requests", now.num_requests, earlier.num_requests, budget.max_requests),
        ("tokens", now.num_tokens, earlier.num_tokens, budget.max_tokens),
        ("of the price's currency", now.cost, earlier.cost, budget.max_cost),
    ):
        if limit is not None and spent + before >= limit:
            share = f"; {_number(before)} in earlier runs" if before else ""
            raise EngineError(
                f"the budget is spent: {_number(spent + before)} {name} of {_number(limit)}{share}",
                hint=hint,
            )


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"

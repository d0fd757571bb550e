"""The protocol that every engine follows."""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from sluice.records import Message


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. ``temperature`` 0 is greedy."""

    temperature: float
    top_p: float
    max_new_tokens: int


@dataclass(frozen=True)
class Request:
    """One completion that is wanted."""

    messages: tuple[Message, ...]
    """The dialogue so far; the assistant's turn comes next."""
    seed: int
    """Of this completion alone: what is drawn does not depend on the other requests."""


@dataclass(frozen=True)
class Completion:
    """What the model wrote."""

    text: str
    """Without the end-of-turn token; reasoning included."""
    num_tokens: int
    """Tokens of the completion, its end-of-turn token included."""
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True)
class Unfinished:
    """Where an engine keeps what it has of completions that it has not yielded yet."""

    folder: Path
    """Of this very run; it need not be there."""
    on_saved: Callable[[], None]
    """To be called after each saving: the time spent so far is not lost any more."""


class Engine(Protocol):
    """Turns requests into completions."""

    def generate(
        self,
        requests: Sequence[Request],
        *,
        sampling: Sampling,
        skip: Container[int] = (),
        unfinished: Unfinished | None = None,
    ) -> Iterator[tuple[int, Completion]]:
        """Yields (index into requests, completion) as they are done, in any order.

        All requests are given at once, so that an engine can batch them as it likes.

        Args:
            requests: the completions that are wanted.
            sampling: how tokens are drawn.
            skip: indices that an earlier, interrupted run has answered. They are not yielded, but
                still belong to the plan: what the others get is what an undisturbed run gives.
            unfinished: for engines that finish many completions at once: they keep there, at least
                every minute, what a rerun needs to go on. Without it nothing is kept.
        Raises:
            EngineError: the model, the device or the server cannot do it.
        """
        ...

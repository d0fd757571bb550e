"""An engine that answers from a script, for tests of what is done with answers."""

from collections.abc import Callable, Container, Iterator, Sequence

from sluice.engines.engine import Completion, Request, Sampling, Unfinished


class ScriptedEngine:
    """Answers each request with what a function says of it; a token is a whitespace word.

    Args:
        answer: request -> text. A text longer than ``max_new_tokens`` words is cut off there.
    """

    def __init__(self, answer: Callable[[Request], str]) -> None:
        self._answer = answer
        self.num_generated = 0
        """Completions made so far, over all calls."""

    def generate(
        self,
        requests: Sequence[Request],
        *,
        sampling: Sampling,
        skip: Container[int] = (),
        unfinished: Unfinished | None = None,
    ) -> Iterator[tuple[int, Completion]]:
        """Yields the answers last first: no caller may rely on an order."""
        for index in reversed(range(len(requests))):
            if index in skip:
                continue
            self.num_generated += 1
            words = self._answer(requests[index]).split(" ")
            is_cut_off = len(words) > sampling.max_new_tokens
            kept = words[: sampling.max_new_tokens]
            num_tokens = len(kept) if is_cut_off else len(kept) + 1
            reason = "length" if is_cut_off else "stop"
            yield index, Completion(" ".join(kept), num_tokens, reason)

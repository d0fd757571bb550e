"""What every grader returns, and the verdicts that all of them share."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Verdict = Literal[
    "correct",
    "wrong",
    "cut_off",
    "only_in_reasoning",
    "no_answer",
    "conflicting_answers",
    "malformed",
]
"""correct, wrong: an answer was found and compared. The others: no answer counts.

cut_off: the completion hit the token limit before an answer. only_in_reasoning: an answer stands
inside the think block and none after it. no_answer: none is there. conflicting_answers: two that
differ. malformed: something in the answer's place that is none, such as ``NV | 3``.
"""


@dataclass(frozen=True)
class Grade:
    """The verdict on one completion."""

    verdict: Verdict
    answer: str | None = None
    """The answer that was found, in the grader's normal form; what equal answers share."""

    @property
    def is_correct(self) -> bool:
        """Whether the answer is right."""
        return self.verdict == "correct"


def share_of_commonest(answers: Sequence[str | None]) -> tuple[str, float] | None:
    """The answer that most completions share, and its share among all of them.

    A model that copies the example of its prompt shows up here. Of equally common answers the first
    in the alphabet is named.

    Args:
        answers: one a completion, None where no answer counts.
    Returns:
        None where no completion has an answer.
    """
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        return None
    answer, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return answer, count / len(answers)


class Grader(Protocol):
    """Judges one completion."""

    def __call__(
        self, completion: str, reference: Mapping[str, Any], *, is_cut_off: bool = False
    ) -> Grade:
        """Compares the completion's answer with the reference.

        Args:
            completion: what the model wrote, reasoning included.
            reference: the sample's ``reference``; which keys a grader needs stands in its file.
            is_cut_off: whether the completion ended at the token limit.
        Raises:
            GradingError: the reference lacks a key, or holds no legal answer.
        """
        ...

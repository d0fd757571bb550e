"""Rejection sampling: n completions of each prompt, graded; the correct ones are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sluice.engines.engine import Completion, Request
from sluice.errors import GradingError
from sluice.grading.grade import Grade, Grader
from sluice.logs import get_logger
from sluice.sampling.formats import Prompt
from sluice.seeds import derive_seed

logger = get_logger(__name__)

DUPLICATE = "duplicate"
"""The rejection of a correct completion that the prompt already has."""


@dataclass(frozen=True)
class GradedCompletion:
    """One completion, its verdict, and whether it is kept."""

    id: str
    """``<prompt id>_<k>``."""
    completion: Completion
    grade: Grade
    rejection: str | None
    """The verdict of one that is not correct, ``duplicate``, or None where it is kept."""

    @property
    def is_kept(self) -> bool:
        """Whether it goes into the training data."""
        return self.rejection is None

    @property
    def is_cut_off(self) -> bool:
        """Whether it ended at the token limit."""
        return self.completion.finish_reason == "length"


def make_requests(prompts: Sequence[Prompt], *, num_samples: int, seed: int) -> list[Request]:
    """n requests for each prompt, prompt by prompt, each with a seed of its own.

    A seed depends on the prompt's id and the completion's number, not on what else is sampled.
    """
    return [
        Request(prompt.messages, derive_seed(seed, "sample_responses", prompt.id, number))
        for prompt in prompts
        for number in range(num_samples)
    ]


def check_references(prompts: Sequence[Prompt], grader: Grader, *, where: Path) -> None:
    """Makes sure that every prompt can be judged, before anything is generated.

    Raises:
        GradingError: the grader cannot use a prompt's reference.
    """
    for prompt in prompts:
        try:
            grader("", prompt.reference)
        except GradingError as error:
            raise GradingError(
                f"the reference of '{prompt.id}' cannot be used: {error.what}",
                where=error.where or str(where),
                expected=error.expected,
                hint=error.hint or "choose the grader that fits the data: --grader",
            ) from None


def grade_completions(
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    *,
    grader: Grader,
    deduplicate: Literal["once", "all"],
) -> list[list[GradedCompletion]]:
    """The graded completions of each prompt.

    Args:
        prompts: N prompts.
        completions: N x n, those of the first prompt first.
        grader: the task's.
        deduplicate: whether of identical correct completions the first is kept, or all.
    """
    num_samples = len(completions) // len(prompts)
    assert num_samples * len(prompts) == len(completions)
    return [
        _grade_prompt(
            prompt,
            completions[place * num_samples : (place + 1) * num_samples],
            grader=grader,
            keeps_all=deduplicate == "all",
        )
        for place, prompt in enumerate(prompts)
    ]


def _grade_prompt(
    prompt: Prompt, completions: Sequence[Completion], *, grader: Grader, keeps_all: bool
) -> list[GradedCompletion]:
    graded = []
    kept: set[str] = set()
    for number, completion in enumerate(completions):
        grade = grader(
            completion.text,
            prompt.reference,
            is_cut_off=completion.finish_reason == "length",
        )
        rejection: str | None = None
        if not grade.is_correct:
            rejection = grade.verdict
        elif completion.text in kept and not keeps_all:
            rejection = DUPLICATE
        else:
            kept.add(completion.text)
        graded.append(GradedCompletion(f"{prompt.id}_{number}", completion, grade, rejection))
    return graded

"""The grader `exact`: the text after the reasoning is the answer."""

from collections.abc import Mapping
from typing import Any

from sluice.grading.grade import Grade
from sluice.grading.parsing import Finding, collapse, judge, read_text_answer


def grade_exact(
    completion: str, reference: Mapping[str, Any], *, is_cut_off: bool = False
) -> Grade:
    """Compares the whole text outside of ``<think>`` blocks with the reference.

    Form does not matter (`normalise`, white space); case does. A completion that was cut off is
    never right, since its text could have gone on. An answer counts as only in the reasoning where
    nothing stands outside and the reasoning's last line is the answer. There can be neither two
    answers nor a malformed one.

    Args:
        completion: what the model wrote.
        reference: ``answer``: a text that is not blank, or a whole number.
        is_cut_off: whether the completion ended at the token limit.
    Raises:
        GradingError: ``answer`` is missing or something else.
    """
    right = read_text_answer(reference, grader="exact")

    def find_last_line(reasoning: str) -> Finding:
        lines = [line for line in reasoning.split("\n") if line.strip()]
        is_right = bool(lines) and collapse(lines[-1]) == right
        return Finding(frozenset([right])) if is_right else Finding()

    return judge(
        completion,
        right=right,
        find=_find_text,
        is_cut_off=is_cut_off,
        find_in_reasoning=find_last_line,
    )


def _find_text(text: str) -> Finding:
    answer = collapse(text)
    return Finding(frozenset([answer]), is_open=True) if answer else Finding()

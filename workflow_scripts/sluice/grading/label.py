"""The grader `label`: one of a set of phrases."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.errors import ConfigError
from sluice.grading.grade import Grade
from sluice.grading.parsing import (
    Finding,
    collapse,
    judge,
    normalise,
    read_text_answer,
    refuse_reference,
)

# Where a phrase begins or ends with one of these, none of them may stand beside it: "true" does not
# stand in "untrue". Han has no such ends: 误报 stands in 是误报。
_LETTER = "0-9a-z\u00df-\u024f\u0370-\u052f"
_SPACES = re.compile(r"\s+")


class LabelGrader:
    """Looks for the phrases outside of ``<think>`` blocks; all that are found must be the same one.

    Form, white space and case do not matter. Where one phrase is part of another, the longer one
    counts and the one inside it does not. Negations are not understood: in "no false alarm" stands
    the phrase "false alarm". Two different phrases are conflicting_answers, which also catches a
    prompt's list of choices that was copied. There is no malformed answer.

    Args:
        labels: at least two phrases.
    Raises:
        ConfigError: fewer than two, a blank one, or two that differ only in form or case.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = {_fold(label): label for label in labels}
        if len(labels) < 2 or len(self.labels) < len(labels) or "" in self.labels:
            raise ConfigError(
                f"'labels' is {list(labels)}",
                expected="at least two phrases, none blank, no two the same but for case or width",
                hint="labels: [缺陷真实存在, 疑似误报]",
            )
        longest_first = sorted(self.labels, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_bounded, longest_first)))

    def __call__(
        self, completion: str, reference: Mapping[str, Any], *, is_cut_off: bool = False
    ) -> Grade:
        """Compares the phrase that was found with the reference's.

        Args:
            completion: what the model wrote.
            reference: ``answer``: one of the phrases, in any case and width.
            is_cut_off: whether the completion ended at the token limit.
        Raises:
            GradingError: ``answer`` is missing or none of the phrases.
        """
        answer = _fold(read_text_answer(reference, grader="label"))
        if answer not in self.labels:
            raise refuse_reference(
                "answer",
                reference["answer"],
                grader="label",
                expected="one of: " + ", ".join(self.labels.values()),
            )
        return judge(completion, right=self.labels[answer], find=self._find, is_cut_off=is_cut_off)

    def _find(self, text: str) -> Finding:
        folded = _SPACES.sub(" ", text.casefold())
        matches = list(self._pattern.finditer(folded))
        return Finding(
            frozenset(self.labels[match[0]] for match in matches),
            is_open=bool(matches) and self._could_go_on(folded[matches[-1].start() :], matches[-1]),
        )

    def _could_go_on(self, tail: str, last: re.Match[str]) -> bool:
        """Whether the text ends with the phrase, or within a longer phrase that begins with it."""
        return tail == last[0] or any(label.startswith(tail) for label in self.labels)


def _fold(label: str) -> str:
    return collapse(normalise(label)).casefold()


def _bounded(label: str) -> str:
    before = f"(?<![{_LETTER}])" if re.match(f"[{_LETTER}]", label) else ""
    after = f"(?![{_LETTER}])" if re.match(f"[{_LETTER}]", label[-1]) else ""
    return f"{before}{re.escape(label)}{after}"

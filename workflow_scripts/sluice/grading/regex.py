"""The grader `regex`: what a pattern captures."""

from collections.abc import Mapping
from typing import Any

import regex

from sluice.errors import ConfigError, GradingError
from sluice.grading.grade import Grade
from sluice.grading.parsing import Finding, collapse, judge, read_text_answer

# Processor time, so that a busy machine changes nothing. A pattern that backtracks without end
# would otherwise hang the run; a verdict that depended on time would change from run to run.
_TIME_LIMIT_S = 30.0


class RegexGrader:
    """Searches outside of ``<think>`` blocks; every match must capture the same answer.

    A match whose group is empty or took no part is malformed. Form and white space of the captured
    text do not matter; case does, also where the pattern ignores it. The patterns are those of the
    package `regex`, which understands what Python's `re` does.

    Args:
        pattern: a regular expression with exactly one group.
        time_limit_s: processor time that one search may take.
    Raises:
        ConfigError: the pattern does not parse, or has no group or several.
    """

    def __init__(self, pattern: str, *, time_limit_s: float = _TIME_LIMIT_S) -> None:
        try:
            self._pattern = regex.compile(pattern)
        # Deep nesting and long repeats are no errors of the package's own.
        except (regex.error, RecursionError, MemoryError) as error:
            shown = pattern if len(pattern) <= 80 else pattern[:77] + "..."
            raise ConfigError(
                f"'pattern' is '{shown}', which is no regular expression: {error}",
                hint=r"pattern: 'Result: (\w+)'",
            ) from None
        if self._pattern.groups != 1:
            raise ConfigError(
                f"'pattern' is '{pattern}', which has {self._pattern.groups} groups",
                expected="exactly one group: the answer",
                hint="write (?:...) for a group that captures nothing",
            )
        self._time_limit_s = time_limit_s

    def __call__(
        self, completion: str, reference: Mapping[str, Any], *, is_cut_off: bool = False
    ) -> Grade:
        """Compares what the pattern captured with the reference.

        Args:
            completion: what the model wrote.
            reference: ``answer``: a text that is not blank, or a whole number.
            is_cut_off: whether the completion ended at the token limit.
        Raises:
            GradingError: ``answer`` is missing or something else, or the search took too long.
        """
        right = read_text_answer(reference, grader="regex")
        return judge(completion, right=right, find=self._find, is_cut_off=is_cut_off)

    def _find(self, text: str) -> Finding:
        answers = set()
        end = None
        try:
            for match in self._pattern.finditer(text, timeout=self._time_limit_s):
                answers.add(collapse(match[1] or ""))
                end = match.end()
        except MemoryError:
            raise GradingError(
                f"the pattern '{self._pattern.pattern}' needs more memory than there is",
                hint="avoid repeats of many thousands, and groups that call themselves",
            ) from None
        except TimeoutError:
            raise GradingError(
                f"the pattern '{self._pattern.pattern}' searched a text of {len(text):,} "
                f"characters for more than {self._time_limit_s:g} s",
                hint="avoid repeated groups that repeat themselves, such as (a+)+",
            ) from None
        is_malformed = "" in answers
        return Finding(frozenset(answers - {""}), is_malformed, is_open=end == len(text))

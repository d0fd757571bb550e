"""Key phrases of responses as patterns; configurations are checked with the same function."""

import re
from collections.abc import Sequence

from sluice.errors import ConfigError

_REGEX_MARK = "re:"


def compile_focus(focus: Sequence[str]) -> list[re.Pattern[str]]:
    """Phrases, taken as they are, and regular expressions, which begin with ``re:``.

    Raises:
        ConfigError: an expression is illegal or matches nothing at all but the empty text.
    """
    return [_compile(each) for each in focus]


def _compile(phrase: str) -> re.Pattern[str]:
    is_regex = phrase.startswith(_REGEX_MARK)
    try:
        pattern = re.compile(phrase.removeprefix(_REGEX_MARK) if is_regex else re.escape(phrase))
    except re.error as error:
        raise ConfigError(
            f"'focus' holds {phrase!r}, which is no regular expression: {error}",
            hint="without 're:' the phrase is searched for as it is",
        ) from None
    if pattern.fullmatch(""):
        raise ConfigError(
            f"'focus' holds {phrase!r}, which matches the empty text",
            expected="a phrase, or 're:' and an expression that matches at least one character",
        )
    return pattern

"""How long to wait before a request is sent again."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_WAIT_S = 60.0
LONGEST_WISH_S = 600.0
"""The longest wait that a server may ask for; a step that is asked to wait longer stops instead of
holding its place, perhaps on a GPU, for nothing."""
_JITTER = 0.1


def wait_s(attempt: int, *, first_wait_s: float, wished_s: float) -> float:
    """Seconds until the next attempt, so that clients that failed together come back apart.

    The bound doubles with each attempt up to a minute, and the wait lies anywhere in its upper
    half. Where the server wishes for more, it is that and up to a tenth (or the first wait) on top.

    Args:
        attempt: how many attempts failed before the last one.
        first_wait_s: the bound after the first.
        wished_s: what `wished_wait_s` says.
    """
    bound_s = min(first_wait_s * 2.0 ** min(attempt, 30), _LONGEST_WAIT_S)
    own_s = bound_s * random.uniform(0.5, 1.0)
    if wished_s <= 0:
        return own_s
    extra_s = max(_JITTER * wished_s, first_wait_s)
    return max(own_s, wished_s + random.uniform(0.0, extra_s))


def wished_wait_s(error: Exception) -> float:
    """The seconds that a server asks for with Retry-After, 0 where it asks for none.

    Source: RFC 9110, section 10.2.3: seconds, or a date in one of HTTP's forms. Fractions of a
    second, which it does not know, are taken too.
    """
    headers = getattr(getattr(error, "response", None), "headers", {})
    text = str(headers.get("retry-after", "")).strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = _seconds_until(text)
    return seconds if seconds > 0 else 0.0  # not a number is no wish either


def _seconds_until(date: str) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except (IndexError, OverflowError, TypeError, ValueError):
        return 0.0
    # The oldest of HTTP's three forms names no time zone: it is always GMT.
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()

"""Settings of every server that is asked: key, prices, budget, patience."""

from typing import Annotated

from pydantic import Field

from sluice.settings.base import UNTRACKED, Settings


class Asking(Settings):
    """How an OpenAI-compatible server is asked; nothing here changes an answer."""

    api_key_env: Annotated[str, UNTRACKED] = "OPENAI_API_KEY"
    """Environment variable that holds a server's key. The key itself is never a setting."""
    api_key_file: Annotated[str | None, UNTRACKED] = None
    """File that holds the key and nothing else, outside of the repository; it goes before the
    environment variable."""
    price_per_million_input: Annotated[float, Field(ge=0), UNTRACKED] = 0.0
    """A server's price of a million prompt tokens, in any currency. What is written keeps the cost
    at the prices at which it was made."""
    price_per_million_output: Annotated[float, Field(ge=0), UNTRACKED] = 0.0
    """A server's price of a million completion tokens, in the same currency."""
    max_cost: Annotated[Annotated[float, Field(ge=0)] | None, UNTRACKED] = None
    """Budget in that currency of each output that is made with this server: all that was ever spent
    on it counts, in every attempt and run together, answers that could not be used included. It is
    checked before each request; requests under way when it is spent are still paid. What a server
    bills without saying so (a request that timed out, or whose run was killed) is not known. No
    limit where not given."""
    concurrency: Annotated[int, Field(ge=1), UNTRACKED] = 32
    """Requests to a server under way at once."""
    timeout_s: Annotated[float, Field(gt=0), UNTRACKED] = 600.0
    """Seconds after which a request to a server counts as failed and is sent again."""
    max_retries: Annotated[int, Field(ge=0), UNTRACKED] = 6
    """How often a request is sent again after a transient error (429, 5xx, time-out, lost
    connection, malformed answer). Waits double from 0.5 s to 60 s. Where the server asks for more
    (Retry-After), it gets that and up to a tenth on top; a step that is asked to wait longer than
    10 minutes stops."""

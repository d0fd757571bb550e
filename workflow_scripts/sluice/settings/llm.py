"""Settings of the servers that are asked: who plays the user, who judges, who evaluates."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from sluice.errors import ConfigError
from sluice.settings.addresses import without_password
from sluice.settings.base import UNTRACKED, Settings

OFFLINE = "offline"
"""The address that stands for the built-in server."""

_KEY_NAMES = re.compile(r"(api|auth|access|secret)[-_]?(key|token)|token|secret|password", re.I)
# The forms of OpenAI's (and DeepSeek's, Anthropic's), Hugging Face's, Groq's and xAI's keys.
_KEY_VALUE = re.compile(r"\b(sk|hf|gsk|xai)[-_][A-Za-z0-9_-]{16,}")
_HINT = (
    "put it into an environment variable and name that in api_key_env, or into a file outside of "
    "the repository and name that in api_key_file; then replace the key: it has been in a file"
)


def find_keys(values: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths at which values hold what looks like an API key; the keys themselves are not told.

    Args:
        values: nested mappings and lists, as YAML gives them.
        path: where they stand.
    """
    if isinstance(values, Mapping):
        for name, value in values.items():
            if isinstance(value, str) and _KEY_NAMES.fullmatch(str(name)):
                yield (*path, name)
            else:
                yield from find_keys(value, (*path, name))
    elif isinstance(values, list | tuple):
        for index, value in enumerate(values):
            yield from find_keys(value, (*path, index))
    elif isinstance(values, str) and _KEY_VALUE.search(values):
        yield path


def refuse_key(path: tuple[str | int, ...], *, where: str | None = None) -> ConfigError:
    """The error for an API key among the settings; it does not show the key."""
    name = ".".join(map(str, path))
    return ConfigError(f"'{name}' holds an API key", where=where, hint=_HINT)


class Endpoint(Settings):
    """An OpenAI-compatible server, a model on it, and what may be spent."""

    base_url: str = OFFLINE
    """Address of the server, such as https://api.deepseek.com/v1; a trailing /chat/completions is
    cut off. offline: the built-in rule-based server, which the step starts itself; it knows only
    the built-in world."""
    model: str
    """The name of the model that the server knows."""
    api_key_env: Annotated[str, UNTRACKED] = "OPENAI_API_KEY"
    """Environment variable that holds the key. The key itself is never a setting."""
    api_key_file: Annotated[str | None, UNTRACKED] = None
    """File that holds the key and nothing else, outside of the repository; it goes before the
    environment variable."""
    price_per_million_input: Annotated[float, Field(ge=0), UNTRACKED] = 0.0
    """Price of a million prompt tokens, in any currency. What is written keeps the cost at the
    prices at which it was made."""
    price_per_million_output: Annotated[float, Field(ge=0), UNTRACKED] = 0.0
    """Price of a million completion tokens, in the same currency."""
    max_cost: Annotated[Annotated[float, Field(ge=0)] | None, UNTRACKED] = None
    """Budget in that currency of each output that is made with this server: all that was ever spent
    on it counts, in every attempt and run together, answers that could not be used included. It is
    checked before each request; requests under way when it is spent are still paid. What a server
    bills without saying so (a request that timed out, or whose run was killed) is not known. No
    limit where not given."""
    concurrency: Annotated[int, Field(ge=1), UNTRACKED] = 32
    """Requests under way at once."""
    timeout_s: Annotated[float, Field(gt=0), UNTRACKED] = 120.0
    """Seconds after which a request counts as failed and is sent again."""
    max_retries: Annotated[int, Field(ge=0), UNTRACKED] = 6
    """How often a request is sent again after a transient error (429, 5xx, time-out, lost
    connection, malformed answer). Waits double from 0.5 s to 60 s. Where the server asks for more
    (Retry-After), it gets that and up to a tenth on top; a step that is asked to wait longer than
    10 minutes stops."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_keys(cls, values: Any) -> Any:
        for path in find_keys(values):
            raise refuse_key(path)
        return values

    @field_validator("base_url")
    @classmethod
    def _cut_path(cls, value: str) -> str:
        value = value.strip().rstrip("/").removesuffix("/chat/completions").rstrip("/")
        if value != OFFLINE and not re.match(r"https?://[^/]", value):
            raise ValueError("'offline', or an address that begins with http:// or https://")
        return without_password(value)


class Simulator(Endpoint):
    """The model that plays the user."""

    model: str = "offline-user"
    """The name of the model that the server knows."""


class Judge(Endpoint):
    """The model that judges."""

    model: str = "offline-judge"
    """The name of the model that the server knows."""


class Evaluator(Endpoint):
    """The model that judges the held-out part."""

    model: str = "offline-evaluator"
    """The name of the model that the server knows."""


class LlmSettings(Settings):
    """The ``llm:`` section."""

    simulator: Simulator = Simulator()
    """Plays the user of the simulated dialogues."""
    judge: Judge = Judge()
    """Judges the answers that the model may learn from."""
    evaluator: Evaluator = Evaluator()
    """Judges the answers to the held-out topics, which say whether a turn helped."""

"""Settings of the servers that are asked: who plays the user, who judges, who evaluates."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from sluice.errors import ConfigError
from sluice.settings.addresses import server_address
from sluice.settings.asking import Asking
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


class _Place(Settings):
    """Where a server is, and which model of it is meant."""

    base_url: str = OFFLINE
    """Address of the server, such as https://api.deepseek.com/v1; a trailing /chat/completions is
    cut off. offline: the built-in rule-based server, which the step starts itself; it knows only
    the built-in world."""
    model: str
    """The name of the model that the server knows."""

    @field_validator("base_url")
    @classmethod
    def _clean(cls, value: str) -> str:
        if value.strip() == OFFLINE:
            return OFFLINE
        return server_address(value, expected="'offline', or an address")


class Endpoint(Asking, _Place):
    """An OpenAI-compatible server, a model on it, and what may be spent."""

    timeout_s: Annotated[float, Field(gt=0), UNTRACKED] = 120.0
    """Seconds after which a request to a server counts as failed and is sent again."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_keys(cls, values: Any) -> Any:
        for path in find_keys(values):
            raise refuse_key(path)
        return values


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

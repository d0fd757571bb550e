"""From the settings of an endpoint to what its client needs; here the key is looked for."""

import os
from pathlib import Path

from sluice.errors import ConfigError
from sluice.llm.client import NO_KEY, Access
from sluice.llm.spending import Budget, Prices
from sluice.settings.llm import Endpoint

_REPOSITORY = Path(__file__).resolve().parents[3]
_ONE_KEY = "one word of ASCII letters, digits and signs"


def access_to(
    endpoint: Endpoint, *, base_url: str | None = None, identity: str | None = None
) -> Access:
    """How an endpoint is reached.

    Args:
        endpoint: the settings.
        base_url: the address in use, where the settings only name a kind of server.
        identity: what stands for such a server in the hash of a request.
    Raises:
        ConfigError: the key's file is missing, empty or inside of the repository.
    """
    return Access(
        base_url=base_url or endpoint.base_url,
        key=NO_KEY if base_url else read_key(endpoint),
        identity=identity,
        key_place=_key_place(endpoint),
        concurrency=endpoint.concurrency,
        timeout_s=endpoint.timeout_s,
        max_retries=endpoint.max_retries,
        budget=Budget(max_cost=endpoint.max_cost),
        budget_hint="answers so far are kept, and trying again spends nothing more; raise max_cost "
        "and run again to go on from there",
        prices=Prices(endpoint.price_per_million_input, endpoint.price_per_million_output),
    )


def read_key(endpoint: Endpoint) -> str:
    """The key of an endpoint, or a placeholder: a server of one's own needs none.

    Raises:
        ConfigError: the key's file is missing, empty or inside of the repository, or what it or the
            environment variable holds cannot be a key.
    """
    if endpoint.api_key_file is None:
        return read_key_variable(endpoint.api_key_env) or NO_KEY
    return read_key_file(endpoint.api_key_file)


def read_key_variable(name: str) -> str | None:
    """The key that an environment variable holds; None where it holds nothing.

    Raises:
        ConfigError: it holds what cannot be a key.
    """
    key = os.environ.get(name, "").strip()
    if key and not _can_be_sent(key):
        raise ConfigError(
            f"the environment variable {name} does not hold one key", expected=_ONE_KEY
        )
    return key or None


def read_key_file(name: str) -> str:
    """The key that a file holds.

    Raises:
        ConfigError: the file is missing, empty or inside of the repository.
    """
    path = Path(name).expanduser()
    for folder in (_REPOSITORY, Path.cwd().resolve()):
        if path.resolve().is_relative_to(folder):
            raise ConfigError(
                f"'api_key_file' is '{path}', inside of {folder}",
                expected="a file outside of the repository, so that it is never committed",
            )
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"'api_key_file' cannot be read: {path}: {type(error).__name__}"
        ) from None
    if not _can_be_sent(key):
        raise ConfigError(f"'api_key_file' {path} does not hold one key", expected=_ONE_KEY)
    return key


def _can_be_sent(key: str) -> bool:
    """Whether it is one word that a header can hold."""
    return len(key.split()) == 1 and key.isascii() and key.isprintable()


def _key_place(endpoint: Endpoint) -> str:
    if endpoint.api_key_file:
        return f"the file {endpoint.api_key_file}"
    return f"the environment variable {endpoint.api_key_env}"

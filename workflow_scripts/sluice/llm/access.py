"""From the settings of a server to what its client needs; here the key is looked for."""

import os
from pathlib import Path

from sluice.errors import ConfigError
from sluice.llm.client import NO_KEY, Access
from sluice.llm.spending import Budget, Prices
from sluice.settings.asking import Asking
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
    return access_by(
        endpoint,
        base_url=base_url or endpoint.base_url,
        key=NO_KEY if base_url else read_key(endpoint),
        identity=identity,
        budget=Budget(max_cost=endpoint.max_cost),
        limits="max_cost",
    )


def access_by(
    asking: Asking,
    *,
    base_url: str,
    key: str,
    identity: str | None = None,
    budget: Budget,
    limits: str,
) -> Access:
    """How a server is reached whose address and key are known.

    Args:
        asking: how it is asked.
        base_url: its address.
        key: of `read_key`.
        identity: what stands for a server without a fixed address in the hash of a request.
        budget: what may be spent on an output.
        limits: the settings that hold this budget, for the hint once it is spent.
    """
    return Access(
        base_url=base_url,
        key=key,
        identity=identity,
        key_place=key_place(asking),
        concurrency=asking.concurrency,
        timeout_s=asking.timeout_s,
        max_retries=asking.max_retries,
        budget=budget,
        budget_hint="answers so far are kept, and trying again spends nothing more; raise "
        f"{limits} and run again to go on from there",
        prices=Prices(asking.price_per_million_input, asking.price_per_million_output),
    )


def read_key(asking: Asking) -> str:
    """The key of a server, or a placeholder: a server of one's own needs none.

    Raises:
        ConfigError: the key's file is missing, empty or inside of the repository, or what it or the
            environment variable holds cannot be a key.
    """
    if asking.api_key_file is None:
        return read_key_variable(asking.api_key_env) or NO_KEY
    return read_key_file(asking.api_key_file)


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


def key_place(asking: Asking) -> str:
    """Where the key is looked for."""
    if asking.api_key_file:
        return f"the file {asking.api_key_file}"
    return f"the environment variable {asking.api_key_env}"

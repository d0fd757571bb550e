"""Addresses of servers among the settings, which are kept and shown: no password stands in one."""

import re
from urllib.parse import urlsplit


def without_password(address: str, *, instead: str = "") -> str:
    """The address itself.

    Args:
        address: of a server.
        instead: where user and password belong, as a sentence.
    Raises:
        ValueError: it holds a user or a password, or is no address.
    """
    if "@" in urlsplit(address).netloc:
        expected = "an address without user and password: the configuration is kept and shown"
        raise ValueError(". ".join(filter(None, [expected, instead])))
    return address


def server_address(address: str, *, expected: str = "an address") -> str:
    """An OpenAI-compatible server's address, without what a request adds to it.

    Args:
        address: such as https://api.deepseek.com/v1, a trailing /chat/completions cut off.
        expected: what the error says was expected.
    Raises:
        ValueError: it is no address of http or https, or holds a user or a password.
    """
    address = address.strip().rstrip("/").removesuffix("/chat/completions").rstrip("/")
    if not re.match(r"https?://[^/]", address):
        raise ValueError(f"{expected} that begins with http:// or https://")
    return without_password(address)

"""Addresses of servers among the settings, which are kept and shown: no password stands in one."""

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

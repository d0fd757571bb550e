"""Turns pydantic's findings into messages: which key, what was expected, the nearest key."""

import difflib
import re
import reprlib
import types
from collections.abc import Callable
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from sluice.errors import ConfigError

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 10_000


def describe_validation_error(
    error: ValidationError,
    *,
    model: type[BaseModel],
    where: str | Callable[[tuple[str | int, ...], Any], str],
) -> ConfigError:
    """All findings of a validation as one error, the first in full, the others in a line each.

    Args:
        error: what pydantic raised.
        model: the model that was being filled, for the known keys.
        where: the file or command line at fault, or a function to it from a key's path and the
            value found there (of a missing key, from the path and value of what lacks it).
    """
    findings = error.errors(include_url=False)
    first, rest = findings[0], findings[1:]
    described = _describe(first, model)
    lines = [described.what, *(f"also: {_describe(other, model).what}" for other in rest)]
    path = _key_path(first["loc"])
    path = path[:-1] if first["type"] == "missing" else path
    # A wrong name is itself the key: whatever stands under it, the file that has it is meant.
    found = {} if _is_name(first) else first["input"]
    place = where(path, found) if callable(where) else where
    return ConfigError(
        "\n  ".join(lines), where=place, expected=described.expected, hint=described.hint
    )


def nearest(name: str, known: list[str]) -> str | None:
    """A hint that names the known word nearest to a misspelt one, or lists them all."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known here: {', '.join(sorted(known))}" if known else None


def _describe(finding: Any, model: type[BaseModel]) -> ConfigError:
    path = _key_path(finding["loc"])
    key = ".".join(str(part) for part in path)
    if finding["type"] == "extra_forbidden":
        known = sorted(_known_keys(model, path[:-1]))
        return ConfigError(f"unknown key '{key}'", hint=nearest(str(path[-1]), known))
    if finding["type"] == "missing":
        return ConfigError(f"key '{key}' is missing")
    if not path:
        return ConfigError(finding["msg"].removeprefix("Value error, "))
    if _is_name(finding):
        section = ".".join(str(part) for part in path[:-1])
        what = f"the name {_shown(finding['input'])} in '{section}' is illegal"
    else:
        what = f"'{key}' is {_shown(finding['input'])}"
    return ConfigError(what, expected=_expectation(finding))


def _is_name(finding: Any) -> bool:
    """Whether the mistake is a mapping's key, not a value; pydantic marks it."""
    return bool(finding["loc"]) and finding["loc"][-1] == "[key]"


def _expectation(finding: Any) -> str:
    text: str = finding["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return text.replace("Input should have", "have")


def _shown(value: Any) -> str:
    # What stands before the @ of an address may be a password.
    # reprlib looks at no more of a value than it shows: references may make billions of little.
    text = re.sub(r"://[^/@\s]+@", "://***@", _REPR.repr(value))
    return text if len(text) <= 80 else text[:77] + "..."


def _key_path(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    # pydantic adds the tag of a union member and "[key]" marks, which are no keys of the user's.
    return tuple(part for part in loc if not (isinstance(part, str) and part.startswith("[")))


def _known_keys(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        else:
            current = _value_type(current)
    current = _value_type(current) if get_origin(current) in (Union, types.UnionType) else current
    if isinstance(current, type) and issubclass(current, BaseModel):
        return list(current.model_fields)
    return []


def _value_type(annotation: Any) -> Any:
    """The model inside ``dict[str, Model]`` or ``Model | None``."""
    members = [arg for arg in get_args(annotation) if isinstance(arg, type)]
    models = [arg for arg in members if issubclass(arg, BaseModel)]
    return models[-1] if models else None

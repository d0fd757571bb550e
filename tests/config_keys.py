"""Every key of the configuration, another legal value for it, and the rules it is declared for."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from sluice.config import ENTRY_SETTINGS, OWN_SECTIONS, RULE_SETTINGS, Config, load_config
from sluice.config_files import merge
from sluice.errors import ConfigError
from sluice.settings.base import Settings, untracked_names

Key = tuple[str, ...]

# Sections that name what there is; another name is another workflow.
_REGISTRIES = {"datasets", "models"}


def all_keys(config: Config) -> Iterator[Key]:
    """The path of every setting: of sections, of their own sections, and of every named entry."""
    for name, section in config:
        if name not in _REGISTRIES:
            yield from _keys_below((name,), section)


def _keys_below(path: Key, value: Any) -> Iterator[Key]:
    if isinstance(value, BaseModel):
        for name, each in value:
            yield from _keys_below((*path, name), each)
    elif isinstance(value, Mapping) and all(isinstance(each, BaseModel) for each in value.values()):
        for name, each in value.items():
            yield from _keys_below((*path, name), each)
    else:
        yield path


def declared_rules(key: Key, *, are_stale: bool = True) -> set[str]:
    """The rules whose scripts take a key as a flag, by the declarations in `sluice.config`.

    Args:
        key: its path.
        are_stale: those that another value makes stale, or those that it reaches without.
    """
    section, name = key[0], key[-1]
    if key[:2] == ("flywheel", "adapter"):
        return {"fine_tune_turn"} if are_stale else set()
    if section in ENTRY_SETTINGS:
        return _takers(name, ENTRY_SETTINGS[section], are_stale)
    rules = _takers(name, RULE_SETTINGS, are_stale)
    if key == ("seed",) and are_stale:
        entries = [_takers(name, readers, are_stale) for readers in ENTRY_SETTINGS.values()]
        return rules.union({"fine_tune_turn"}, *entries)
    is_own = section in OWN_SECTIONS.values()
    return {rule for rule in rules if OWN_SECTIONS.get(rule) == (section if is_own else None)}


def _takers(name: str, readers: Mapping[str, type[Settings]], are_stale: bool) -> set[str]:
    return {
        rule
        for rule, model in readers.items()
        if name in model.model_fields and (name in untracked_names(model)) != are_stale
    }


def with_value(values: Mapping[str, Any], key: Key, value: Any) -> dict[str, Any]:
    """The values with one key changed."""
    changed = copy.deepcopy(dict(values))
    below: Any = value
    for name in reversed(key):
        below = {name: below}
    merge(changed, below)
    return changed


def other_value(values: Mapping[str, Any], key: Key, *, files: Sequence[Path]) -> Any:
    """A legal value that differs from the present one.

    Raises:
        LookupError: none of those that are tried is legal.
    """
    config = load_config(values, files=files)
    held = _look_up(config, key)
    for value in _candidates(held, _annotation(config, key)):
        try:
            changed = load_config(with_value(values, key, value), files=files)
        except ConfigError:
            continue
        if _look_up(changed, key) != held:
            return value
    raise LookupError(f"no other value of {'.'.join(key)} is known here")


def _look_up(config: Config, key: Key) -> Any:
    found: Any = config
    for name in key:
        found = found[name] if isinstance(found, Mapping) else getattr(found, name)
    return found


def _annotation(config: Config, key: Key) -> Any:
    return type(_look_up(config, key[:-1])).model_fields[key[-1]].annotation


def _candidates(held: Any, annotation: Any) -> Iterator[Any]:
    if isinstance(held, bool):
        yield not held
    elif isinstance(held, int | float):
        yield from (held + 1, held * 2, held / 2, held - 1, 0.25, 0.75)
    yield from _choices(annotation)
    yield from ("another", 1, 2, 50, 0.5, 1.5, True, [], ["another"], {"another": "word"})


def _choices(annotation: Any) -> Iterator[Any]:
    """The values of every Literal within an annotation."""
    for each in get_args(annotation):
        if get_origin(annotation) is Literal:
            yield each
        else:
            yield from _choices(each)

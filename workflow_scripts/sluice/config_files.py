"""Configuration files: how their values merge, and which file a value came from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sluice.errors import ConfigError, DataError
from sluice.files import read_yaml as read_plain_yaml

# Datasets, and what cannot stand without those that it names.
_DATA_SECTIONS = ("datasets", "tasks", "adapters", "suites")
_COMMAND_LINE = "the command line (--config)"


def with_own_data_only(values: Mapping[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """Undoes Snakemake's merge for what says which data: the last file that names datasets counts.

    Of ``datasets`` and of the sections that build on them only its own entries stay, and of
    ``data.evaluation_texts`` and ``flywheel`` only its own or the command line's: steps and rates
    that suit the built-in model suit no other.
    """
    naming = [read_yaml(file) for file in files]
    naming = [content for content in naming if content.get("datasets")]
    if len(naming) < 2 or not isinstance(values.get("datasets"), Mapping):
        return dict(values)
    *earlier, last = naming
    own = dict(values)
    for section in _DATA_SECTIONS:
        gone = {name for content in earlier for name in content.get(section) or ()}
        gone -= set(last.get(section) or ())
        entries = own.get(section)
        if isinstance(entries, Mapping):
            own[section] = {name: entry for name, entry in entries.items() if name not in gone}
    data = dict(values.get("data") or {})
    inherited = [_look_up(content, ("data", "evaluation_texts")) for content in earlier]
    if (True, data.get("evaluation_texts")) in inherited:
        del data["evaluation_texts"]
    wheel = dict(values.get("flywheel") or {})
    for content in earlier:
        wheel = _without(wheel, content.get("flywheel") or {}, kept=last.get("flywheel") or {})
    return {**own, "data": data, "flywheel": wheel}


def _without(
    values: Mapping[str, Any], inherited: Mapping[str, Any], *, kept: Mapping[str, Any]
) -> dict[str, Any]:
    """Values less those that are as inherited, at any depth, unless ``kept`` gives them too."""
    left: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(inherited.get(name), Mapping):
            left[name] = _without(value, inherited[name], kept=kept.get(name) or {})
        elif name in kept or inherited.get(name) != value:
            left[name] = value
    return left


def read_yaml(file: Path) -> dict[str, Any]:
    """The values of a file; none of one that holds no mapping.

    Raises:
        ConfigError: it is missing, or no YAML.
    """
    try:
        values = read_plain_yaml(file)
    except DataError as error:
        raise ConfigError(error.what) from None
    return values if isinstance(values, dict) else {}


def merge(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Puts values over others in place, mappings key by key, as Snakemake does."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            merge(values[key], value)
        else:
            values[key] = dict(value) if isinstance(value, Mapping) else value


def place_of(path: tuple[str | int, ...], value: Any, files: Sequence[Path]) -> str:
    """The last file that gives a key this value, or else the command line.

    Later files win and ``--config`` wins over all of them, so a key that the last file holds with
    another value was overridden. Of a mapping, which Snakemake merges key by key, the last file
    that holds a part of it is named.
    """
    if not files:
        return "the configuration"
    for file in reversed(files):
        is_held, held = _look_up(read_yaml(file), path)
        if is_held and (not path or isinstance(value, Mapping) or held == value):
            return str(file)
        if is_held:
            break
    return _COMMAND_LINE


def _look_up(values: Any, path: tuple[str | int, ...]) -> tuple[bool, Any]:
    """Whether there is a value at the path, and the value."""
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False, None
    return True, values

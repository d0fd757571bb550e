"""docs/config.md and config.schema.json, both made from the settings models."""

import json
from collections.abc import Mapping
from typing import Any

from sluice.config import (
    ENTRY_SETTINGS,
    NESTED_RULES,
    OWN_SECTIONS,
    RULE_SETTINGS,
    UNTRACKED_NAMES,
    Config,
)
from sluice.settings.base import Settings

_HEAD = """# Configuration reference

Made by `make docs` from the settings models in `workflow_scripts/sluice/settings/`; a test fails
when the two differ. Every key of `config.yaml` stands here with its default. Rules that read a key
rerun when it changes, and so do `write_report` and `track_results`, which hold the whole
configuration; no other rule does. Where "no rerun" stands behind a rule, the key cannot change its
result, only how long, how fast or for how much it is asked for: a new value holds from the rule's
next run on.

Change a value in `config.yaml`, in a file of your own (`snakemake --configfile mine.yaml`), or for
one run (`snakemake --config selection='{selection_percentage: 0.1}'`).
"""


def json_schema() -> str:
    """The JSON schema of config.yaml, for completion and checks in editors."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def config_reference() -> str:
    """docs/config.md: one table per section, in the order of config.yaml."""
    schema = Config.model_json_schema()
    sections = {name: _section(entry, schema) for name, entry in schema["properties"].items()}
    top = {name: schema["properties"][name] for name, fields in sections.items() if fields is None}
    parts = [_HEAD, "## Top level\n\n" + _table(top)]
    for name, fields in sections.items():
        if fields is not None:
            parts.append(_chapter(name, schema["properties"][name], fields))
            parts += _holders(fields, schema, rules=NESTED_RULES.get(name, {}))
    return "\n".join(parts)


def _chapter(name: str, entry: dict[str, Any], fields: dict[str, Any]) -> str:
    is_registry = entry.get("type") == "object"
    note = " One entry per name." if is_registry else ""
    in_rule_order = dict(sorted(fields.items(), key=lambda item: _first_rule(item[0])))
    table = _table(in_rule_order, readers=_readers(name), nested=NESTED_RULES.get(name, {}))
    return f"## `{name}`\n\n{entry['description']}{note}\n\n{table}"


def _section(entry: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of the model that an entry (or each of its values) holds; None for a value."""
    patterns = list(entry.get("patternProperties", {}).values())
    holder = next(iter(patterns), entry.get("additionalProperties", entry))
    reference = holder.get("$ref") if isinstance(holder, dict) else None
    if reference is None:
        return None
    fields: dict[str, Any] = schema["$defs"][reference.rsplit("/", 1)[1]]["properties"]
    return fields


def _holders(
    fields: dict[str, Any], schema: dict[str, Any], *, rules: Mapping[str, tuple[str, ...]]
) -> list[str]:
    """A table of what stands below the fields that hold settings of their own, which are alike."""
    found = [entry["$ref"].rsplit("/", 1)[1] for entry in fields.values() if "$ref" in entry]
    if not found:
        return []
    names = ", ".join(f"`{name}`" for name, entry in fields.items() if "$ref" in entry)
    below = {
        name: {key: value for key, value in entry.items() if (name, key) != ("model", "default")}
        for name, entry in schema["$defs"][found[0]]["properties"].items()
    }
    where = f"each of {names}" if len(found) > 1 else names
    # What is alike is read by the rules of all of them.
    readers = tuple(dict.fromkeys(rule for each in rules.values() for rule in each))
    table = _table(below, readers={}, nested=dict.fromkeys(below, readers))
    return [f"Below {where}:\n\n{table}"]


def _readers(section: str) -> Mapping[str, type[Settings]]:
    """The rules that may read a section, with their settings."""
    if section in ENTRY_SETTINGS:
        return ENTRY_SETTINGS[section]
    owner = section if section in OWN_SECTIONS.values() else None
    return {rule: model for rule, model in RULE_SETTINGS.items() if OWN_SECTIONS.get(rule) == owner}


def _first_rule(name: str) -> int:
    """Where in the workflow a field is first read; fields that no script reads come first."""
    readers = [name in model.model_fields for model in RULE_SETTINGS.values()]
    return readers.index(True) if any(readers) else -1


def _rules_of(
    name: str, readers: Mapping[str, type[Settings]], nested: Mapping[str, tuple[str, ...]]
) -> str:
    """The rules whose scripts take the field of this name, and whether it makes them stale."""
    rules = [rule for rule, model in readers.items() if name in model.model_fields]
    listed = ", ".join(f"`{rule}`" for rule in (*rules, *nested.get(name, ())))
    return f"{listed} (no rerun)" if listed and name in UNTRACKED_NAMES else listed


def _table(
    fields: dict[str, Any],
    *,
    readers: Mapping[str, type[Settings]] = RULE_SETTINGS,
    nested: Mapping[str, tuple[str, ...]] | None = None,
) -> str:
    lines = ["| key | legal values | default | meaning | read by |", "|---|---|---|---|---|"]
    for name, entry in fields.items():
        meaning = " ".join(entry.get("description", "").split())
        default = "required" if "default" not in entry else f"`{_shown(entry['default'])}`"
        if "$ref" in entry:
            default = f"`{entry['default']['model']}`" if "model" in entry["default"] else "below"
        row = (f"`{name}`", _legal(entry), default, meaning, _rules_of(name, readers, nested or {}))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _legal(entry: dict[str, Any]) -> str:
    if "anyOf" in entry:
        return " or ".join(_legal(choice) for choice in entry["anyOf"])
    if "$ref" in entry:
        return "mapping"
    if "enum" in entry:
        return ", ".join(str(choice) for choice in entry["enum"])
    if entry.get("type") == "array":
        return "list of " + _legal(entry.get("items", {"type": "value"}))
    words = {"null": "none", "object": "mapping"}
    kind = words.get(entry.get("type", "value"), entry.get("type", "value"))
    return " ".join([kind, *_bounds(entry)])


def _bounds(entry: dict[str, Any]) -> list[str]:
    signs = {
        "minimum": ">=",
        "exclusiveMinimum": ">",
        "maximum": "<=",
        "exclusiveMaximum": "<",
    }
    return [f"{sign} {entry[key]}" for key, sign in signs.items() if key in entry]

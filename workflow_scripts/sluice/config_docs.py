"""docs/config.md and config.schema.json, both made from the settings models."""

import json
from typing import Any

from sluice.config import RULE_SETTINGS, Config

_HEAD = """# Configuration reference

Made by `make docs` from the settings models in `workflow_scripts/sluice/settings/`; a test fails
when the two differ. Every key of `config.yaml` stands here with its default. Rules that read a key
rerun when it changes; no other rule does.

Change a value in `config.yaml`, in a file of your own (`snakemake --configfile mine.yaml`), or for
one run (`snakemake --config selection='{selection_percentage: 0.1}'`).
"""


def json_schema() -> str:
    """The JSON schema of config.yaml, for completion and checks in editors."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def config_reference() -> str:
    """docs/config.md: one table per section, in the order of config.yaml."""
    schema = Config.model_json_schema()
    parts = [_HEAD, "## Top level\n\n" + _table(_scalars(schema), rules_of=lambda name: "")]
    for name, entry in schema["properties"].items():
        section = _section(entry, schema["$defs"])
        if section is None:
            continue
        heading = f"## `{name}`" + (
            " (one entry per name)" if "additionalProperties" in entry else ""
        )
        text = f"{heading}\n\n{entry.get('description', '')}\n\n"
        parts.append(text + _table(section["properties"], rules_of=_rules_of))
    return "\n".join(parts)


def _scalars(schema: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = schema["properties"]
    return {
        name: entry for name, entry in fields.items() if _section(entry, schema["$defs"]) is None
    }


def _section(entry: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    """The section that an entry refers to, itself or through its values; None for a plain value."""
    target = entry.get("additionalProperties", entry)
    if "patternProperties" in entry:
        target = next(iter(entry["patternProperties"].values()))
    reference = target.get("$ref") if isinstance(target, dict) else None
    return definitions[reference.rsplit("/", 1)[1]] if reference else None


def _rules_of(name: str) -> str:
    """The rules whose scripts take the field of this name."""
    rules = [rule for rule, model in RULE_SETTINGS.items() if name in model.model_fields]
    return ", ".join(f"`{rule}`" for rule in rules)


def _table(fields: dict[str, Any], *, rules_of: Any) -> str:
    lines = ["| key | legal values | default | meaning | read by |", "|---|---|---|---|---|"]
    for name, entry in fields.items():
        meaning = " ".join(entry.get("description", "").split())
        default = "required" if "default" not in entry else f"`{_shown(entry['default'])}`"
        row = (f"`{name}`", _legal(entry), default, meaning, rules_of(name))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _legal(entry: dict[str, Any]) -> str:
    if "anyOf" in entry:
        return " or ".join(_legal(choice) for choice in entry["anyOf"])
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

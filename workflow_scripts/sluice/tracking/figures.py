"""From the nested content of files to parameters and metrics, which MLflow wants flat."""

from collections.abc import Mapping
from typing import Any


def prefixed(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    """Metrics in a group of their own; the value itself has the group's name."""
    return {
        prefix if name == "value" else f"{prefix}/{name}": float(value)
        for name, value in values.items()
    }


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among some values."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, with points between the keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def seed_of(
    configuration: Mapping[str, Any], entry: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The seed as a parameter: an entry's own, where it has one, or the configuration's."""
    own = (entry or {}).get("seed")
    seed = configuration.get("seed") if own is None else own
    return {} if seed is None else {"seed": seed}

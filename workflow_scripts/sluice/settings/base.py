"""What all settings models share, and how they become command-line flags."""

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

_MARK: JsonDict = {"x-untracked": True}
UNTRACKED = Field(json_schema_extra=_MARK)
"""Marks a field that cannot change an answer, only how long, how fast or for how much it is asked
for: ``timeout_s: Annotated[float, Field(gt=0), UNTRACKED] = 120.0``. A new value makes nothing
stale."""
Tracking = Literal["all", "tracked", "untracked"]


class Settings(BaseModel):
    """A frozen set of choices. Unknown keys are refused; the text below a field describes it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=True,
        protected_namespaces=(),
    )


S = TypeVar("S", bound=Settings)


class Seeded(Settings):
    """Mixed into the settings of every step that draws random numbers."""

    seed: int = 42
    """Seed; every random choice derives its own from it by name."""


def narrow(settings: Settings, model: type[S]) -> S:
    """The part of a script's arguments that is one settings model, without the paths."""
    return model(**{name: getattr(settings, name) for name in model.model_fields})


def untracked_names(model: type[Settings]) -> set[str]:
    """The fields that are marked as `UNTRACKED`."""
    return {name for name, each in model.model_fields.items() if each.json_schema_extra == _MARK}


def dump_tracked(settings: Settings) -> dict[str, Any]:
    """The settings that can change a result, as JSON values."""
    return settings.model_dump(mode="json", exclude=untracked_names(type(settings)))


def to_flags(settings: Settings, which: Tracking = "all") -> list[str]:
    """The command line that gives these settings: only what differs from the defaults.

    ``True`` becomes ``--name``, ``False`` ``--no-name``, a tuple ``--name a b``.

    Args:
        settings: what is to be said.
        which: all fields, those that make a step stale, or the others.
    """
    untracked = untracked_names(type(settings))
    flags: list[str] = []
    for name, field in type(settings).model_fields.items():
        if which != "all" and (name in untracked) != (which == "untracked"):
            continue
        value = getattr(settings, name)
        if value != field.get_default(call_default_factory=True):
            flags.extend(_flag(name.replace("_", "-"), value))
    return flags


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, tuple | list):
        return [f"--{name}", *(str(item) for item in value)]
    return [f"--{name}", str(value)]

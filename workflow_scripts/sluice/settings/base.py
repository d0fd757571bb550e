"""What all settings models share, and how they become command-line flags."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict


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


def to_flags(settings: Settings) -> list[str]:
    """The command line that gives these settings: only what differs from the defaults.

    ``True`` becomes ``--name``, ``False`` ``--no-name``, a tuple ``--name a b``.
    """
    flags: list[str] = []
    for name, field in type(settings).model_fields.items():
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

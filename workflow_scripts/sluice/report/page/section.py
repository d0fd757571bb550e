"""What a section of the page is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Section:
    """One section: a template of the same key shows its content."""

    key: str
    """Anchor on the page, and name of the template in ``sections/``."""
    title: str
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Headline:
    """One number that stands at the top of the page."""

    value: str
    label: str
    detail: str = ""

"""Exact versions of packages, from requirements files and conda environments."""

import re
from pathlib import Path

from typing_extensions import TypedDict

from sluice.errors import DataError
from sluice.files import read_text, read_yaml
from sluice.forms import Form

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;#]+)")


class _Pip(TypedDict):
    pip: list[str]


class _Environment(TypedDict):
    dependencies: list[str | _Pip]


_ENVIRONMENT = Form(_Environment, "environment of conda", None)


def read_pins(path: Path) -> dict[str, str]:
    """Package -> exact version, of a requirements file and of the files that it includes by ``-r``.

    Raises:
        DataError: the file is missing, or a line pins nothing.
    """
    pins: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        text = line.split(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("-r "):
            pins.update(read_pins(path.parent / text[3:].strip()))
        elif pin := _PIN.match(text):
            pins[pin[1]] = pin[2]
        else:
            raise DataError(f"{path} line {number} pins no version: {text}", expected="name==1.2.3")
    return pins


def read_environment_pins(path: Path) -> dict[str, str]:
    """Package -> exact version, of what a conda environment installs by pip.

    Raises:
        DataError: the file is missing or no such environment, or an entry pins nothing.
    """
    values = _ENVIRONMENT.check(read_yaml(path), where=str(path))
    parts = [part["pip"] for part in values["dependencies"] if not isinstance(part, str)]
    pins = {entry: _PIN.fullmatch(entry) for part in parts for entry in part}
    loose = [entry for entry, pin in pins.items() if pin is None]
    if loose:
        raise DataError(f"{path} pins no version: {loose[0]}", expected="name==1.2.3")
    return {pin[1]: pin[2] for pin in pins.values() if pin}

"""What a code hash needs to know of one module: what it imports of ours, and a hash of its code.

Parsing 160 modules takes 1.5 s, half of a dry-run. So the facts are kept on disk, by a hash of the
module's bytes: an edited module is parsed again, a touched one is not. Which modules a code hash
stood for is kept too, so that a later run can name what changed.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sluice.files import write_json

_MAX_FACTS, _MAX_CLOSURES = 2000, 300
# Where a statement holds others.
_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")


class ModuleFacts(NamedTuple):
    """Facts of one module."""

    imports: tuple[str, ...]
    """Dotted names below ``sluice`` that it imports, or that may be names in what it imports."""
    code: str
    """SHA-256 of its syntax tree without comments and bare strings (docstrings, descriptions)."""


class FactsStore:
    """Facts by the SHA-256 of a module's bytes, in a file that may be lost at any time.

    Args:
        path: the JSON file; one that cannot be read or written is done without.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._facts, self._closures = _read(path)
        self._is_changed = False

    def facts(self, content: bytes) -> ModuleFacts:
        """The facts of a module with this content."""
        key = hashlib.sha256(content).hexdigest()
        if key not in self._facts:
            self._facts[key] = parse_facts(content)
            self._is_changed = True
        return self._facts[key]

    def remember(self, code_hash: str, modules: dict[str, str]) -> None:
        """Notes which modules, by their `ModuleFacts.code`, a code hash stands for."""
        if code_hash not in self._closures:
            self._closures[code_hash] = modules
            self._is_changed = True

    def closure(self, code_hash: str) -> dict[str, str] | None:
        """The modules that a code hash stands for, or None where that was not noted."""
        return self._closures.get(code_hash)

    def save(self) -> None:
        """Writes the file where there is something new."""
        if not self._is_changed:
            return
        kept = {
            "of": _version(),
            "facts": dict(list(self._facts.items())[-_MAX_FACTS:]),
            "closures": dict(list(self._closures.items())[-_MAX_CLOSURES:]),
        }
        try:
            write_json(self._path, kept)
        except OSError:
            return  # a read-only checkout parses each time
        self._is_changed = False


def parse_facts(content: bytes) -> ModuleFacts:
    """The facts of a module, from its source."""
    tree = ast.parse(content)
    imports: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports.add(node.module)
            imports.update(f"{node.module}.{alias.name}" for alias in node.names)
    ours = {name for name in imports if name.split(".")[0] == "sluice"}
    code = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return ModuleFacts(tuple(sorted(ours)), code)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement below a node; bare strings are taken out of the tree on the way."""
    for name in _BODIES:
        inside = getattr(tree, name, None)
        if not isinstance(inside, list):
            continue
        inside[:] = [node for node in inside if not _is_bare_string(node)]
        for node in inside:
            yield node
            yield from _statements(node)


def _is_bare_string(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _read(path: Path) -> tuple[dict[str, ModuleFacts], dict[str, dict[str, str]]]:
    try:
        kept = json.loads(path.read_bytes())
        if kept["of"] != _version():
            return {}, {}
        facts = {
            key: ModuleFacts(tuple(imports), str(code))
            for key, (imports, code) in kept["facts"].items()
        }
        return facts, {key: dict(modules) for key, modules in kept["closures"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, {}


@cache
def _version() -> str:
    """What the facts depend on beside the module: this code, and Python's own syntax tree."""
    return f"{sys.version} {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"

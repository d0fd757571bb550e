"""Hashes of code: over the syntax tree of a script and exactly the modules it imports.

Comments, docstrings and formatting do not count, so that a comment never retrains a model. Field
descriptions in settings models are written as strings below the field, which count as docstrings.
"""

import hashlib
from functools import cache
from pathlib import Path

from sluice.module_facts import FactsStore, ModuleFacts

_SCRIPTS = Path(__file__).resolve().parent.parent
_STORE = FactsStore(_SCRIPTS.parent / ".snakemake" / "sluice" / "module_facts.json")


def code_hash(script: Path | str) -> str:
    """Hash of a script and of every ``sluice`` module it imports, as 16 hex digits.

    Args:
        script: a file in the folder that holds ``sluice/``, or the name of a script in
            ``workflow_scripts/`` without ``.py``.
    """
    path = Path(script) if isinstance(script, Path) else _SCRIPTS / f"{script}.py"
    closure = import_closure(path)
    modules = {name: _facts(module).code for name, module in sorted(closure.items())}
    listing = "".join(f"{name}={code}\n" for name, code in modules.items())
    found = hashlib.sha256(listing.encode()).hexdigest()[:16]
    _STORE.remember(found, modules)
    _STORE.save()
    return found


def changed_modules(before: str, now: str) -> list[str]:
    """The modules in which two code hashes differ; empty where one of them was never seen here."""
    old, new = _STORE.closure(before), _STORE.closure(now)
    if old is None or new is None:
        return []
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def import_closure(script: Path) -> dict[str, Path]:
    """The script and the ``sluice`` modules it imports: dotted name -> file.

    Modules are looked for beside the script. Imports inside functions count; importing ``a.b`` also
    imports ``a``'s ``__init__``.
    """
    closure = {"__main__": script}
    todo = list(_imported_modules(script))
    while todo:
        name = todo.pop()
        file = _module_file(script.parent, name)
        if file is None or name in closure:
            continue
        closure[name] = file
        todo.extend(_imported_modules(file))
    return closure


@cache
def _module_file(root: Path, name: str) -> Path | None:
    base = root.joinpath(*name.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _facts(file: Path) -> ModuleFacts:
    return _STORE.facts(file.read_bytes())


@cache
def _imported_modules(file: Path) -> frozenset[str]:
    """Names of modules of ours that a file imports, with the packages around them."""
    ours = _facts(file).imports
    return frozenset({*ours, *(parent for name in ours for parent in _parents(name))})


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]

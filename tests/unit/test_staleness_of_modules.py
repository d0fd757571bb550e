"""A changed module makes exactly the rules stale whose scripts import it.

What they import is found twice: by our own walk over syntax trees, which makes the code hashes, and
by Python's modulefinder, which reads compiled code.
"""

import re
from functools import cache
from modulefinder import ModuleFinder

import pytest
from support import ROOT

from sluice import fingerprint

FOLDER = ROOT / "workflow_scripts"
_CODE = re.compile(r'code=code\("(\w+)"\)')
SCRIPTS = sorted(
    {name for file in (ROOT / "rules").glob("*.smk") for name in _CODE.findall(file.read_text())}
)
MODULES = {
    ".".join(file.relative_to(FOLDER).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted((FOLDER / "sluice").rglob("*.py"))
}


@cache
def imported(script):
    """Names of our modules that a script imports, as Python's own tool finds them."""
    finder = ModuleFinder([str(FOLDER)])
    finder.run_script(str(FOLDER / f"{script}.py"))
    return {name for name in finder.modules if name.split(".")[0] == "sluice"}


@pytest.fixture(autouse=True)
def no_notes(monkeypatch):
    """The store of facts stays as it is."""
    monkeypatch.setattr(fingerprint._STORE, "remember", lambda *_: None)
    monkeypatch.setattr(fingerprint._STORE, "save", lambda: None)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_imports_what_its_hash_covers(script):
    covered = set(fingerprint.import_closure(FOLDER / f"{script}.py")) - {"__main__"}
    assert covered == imported(script)


@pytest.mark.parametrize("module", MODULES)
def test_a_line_of_code_changes_the_hash_of_the_scripts_that_import_its_module(module, monkeypatch):
    before = {script: fingerprint.code_hash(script) for script in SCRIPTS}
    facts_of = fingerprint._facts

    def with_a_line_more(file):
        facts = facts_of(file)
        return facts._replace(code="another") if file == MODULES[module] else facts

    monkeypatch.setattr(fingerprint, "_facts", with_a_line_more)
    changed = {script for script in SCRIPTS if fingerprint.code_hash(script) != before[script]}
    assert changed == {script for script in SCRIPTS if module in imported(script)}


def test_the_rules_use_most_modules():
    """What is left are tools for people and what Snakemake itself needs."""
    used = set().union(*map(imported, SCRIPTS))
    assert len(used) > 0.9 * len(MODULES)

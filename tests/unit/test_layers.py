"""Imports point one way: scripts, then stages, then what stages share, then the core."""

import ast
from pathlib import Path

import pytest
from support import ROOT

PACKAGE = ROOT / "workflow_scripts" / "sluice"
SHARED = {"engines", "grading", "llm", "settings", "similarity"}
STAGES = {file.parent.name for file in PACKAGE.glob("*/__init__.py")} - SHARED
# The report reads what stages wrote, and by their own readers.
MAY_READ = {"report": {"flywheel"}}


def _imported(file: Path) -> set[str]:
    """The packages of sluice, or its plain modules, that a file imports from."""
    nodes = ast.walk(ast.parse(file.read_text()))
    names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[1] for name in names if name.startswith("sluice.")}


def test_there_are_stages():
    assert {"data", "evaluation", "flywheel", "gate", "sampling", "training"} <= STAGES


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_stages_do_not_import_each_other(stage):
    for file in (PACKAGE / stage).rglob("*.py"):
        others = _imported(file) & (STAGES - {stage} - MAY_READ.get(stage, set()))
        assert not others, f"{file.relative_to(ROOT)} imports {others}"


def test_what_stages_share_and_the_core_import_no_stage():
    shared = [file for name in SHARED for file in (PACKAGE / name).rglob("*.py")]
    for file in [*shared, *PACKAGE.glob("*.py")]:
        stages = _imported(file) & STAGES
        assert not stages, f"{file.relative_to(ROOT)} imports {stages}"


def test_settings_import_the_core_only():
    for file in (PACKAGE / "settings").rglob("*.py"):
        assert not _imported(file) & (STAGES | SHARED - {"settings"}), file

"""A code hash changes with the code that a script runs, and with nothing else."""

import pytest

from sluice.fingerprint import code_hash, import_closure

SCRIPT = '''"""Head."""
from sluice.tool import work


def main():
    """Works."""
    from sluice.late import late

    return work(1), late()
'''
BASE = 'class Settings:\n    k: int = 3\n    """What k is."""\n\n\nK = 3\n'
FILES = {
    "step.py": SCRIPT,
    "sluice/__init__.py": "",
    "sluice/tool.py": "from sluice.deep import base\n\n\ndef work(x):\n    return base.K + x\n",
    "sluice/deep/__init__.py": '"""Deep."""\n',
    "sluice/deep/base.py": BASE,
    "sluice/late.py": "def late():\n    return 0\n",
    "sluice/other.py": "X = 1\n",
}


@pytest.fixture
def hash_with(tmp_path):
    """The hash of step.py in a fresh copy of the tree with some files changed."""
    count = iter(range(100))

    def compute(**changes):
        folder = tmp_path / str(next(count))
        for name, text in {**FILES, **changes}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return code_hash(folder / "step.py")

    return compute


def test_hash_is_sixteen_hex_digits_and_the_same_in_another_place(hash_with):
    assert hash_with() == hash_with()
    assert len(hash_with()) == 16
    int(hash_with(), 16)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("step.py", "# A comment.\n" + SCRIPT),
        ("step.py", SCRIPT.replace('"""Works."""', '"""Works otherwise."""')),
        ("step.py", SCRIPT.replace('    """Works."""\n', "")),
        (
            "step.py",
            SCRIPT.replace("work(1), late()", "(\n        work(1),\n        late(),\n    )"),
        ),
        ("sluice/deep/base.py", BASE.replace("What k is", "Another text")),
        ("sluice/other.py", "X = 2\n"),
        ("sluice/unused.py", "Y = 1\n"),
    ],
)
def test_what_changes_no_result_changes_no_hash(hash_with, name, text):
    assert hash_with(**{name: text}) == hash_with()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("step.py", SCRIPT.replace("work(1)", "work(2)")),
        ("sluice/tool.py", FILES["sluice/tool.py"].replace("+ x", "- x")),
        ("sluice/deep/base.py", BASE.replace("K = 3", "K = 4")),
        ("sluice/deep/base.py", BASE.replace("k: int = 3", "k: int = 4")),
        ("sluice/deep/__init__.py", "import os\n"),
        ("sluice/late.py", "def late():\n    return 1\n"),
        ("sluice/tool.py", FILES["sluice/tool.py"].replace("def work(x)", "def work(x, y=0)")),
    ],
)
def test_changed_code_in_any_imported_module_changes_the_hash(hash_with, name, text):
    assert hash_with(**{name: text}) != hash_with()


def test_closure_names_exactly_what_is_imported(hash_with, tmp_path):
    hash_with()
    assert set(import_closure(tmp_path / "0" / "step.py")) == {
        "__main__",
        "sluice",
        "sluice.tool",
        "sluice.deep",
        "sluice.deep.base",
        "sluice.late",
    }


def test_real_script_is_found_by_name_and_hashes_its_stage_only():
    from support import ROOT

    closure = import_closure(ROOT / "workflow_scripts" / "split_dataset.py")
    assert "sluice.data.split" in closure
    assert "sluice.similarity.overlap" not in closure
    assert code_hash("split_dataset") == code_hash(ROOT / "workflow_scripts" / "split_dataset.py")

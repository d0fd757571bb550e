"""A step notes where and with what it ran, and its command leads back to the note."""

import platform
from importlib import metadata

import pytest

from sluice import step_notes
from sluice.step_notes import note_step, read_step_note

WORDS = ["--samples", "own/a b.jsonl", "--strategy", "x > y", "--output", "o"]
COMMAND = (
    "python workflow_scripts/select_samples.py  --samples 'own/a b.jsonl' --strategy 'x > y'"
    " --output o > logs/select_samples/a.log 2>&1"
)


@pytest.fixture
def run_folder(tmp_path):
    (tmp_path / ".snakemake").mkdir()
    return tmp_path


def test_a_note_is_found_by_the_command_that_snakemake_noted(run_folder):
    note_step("select_samples", WORDS, root=run_folder)
    note = read_step_note(COMMAND, root=run_folder)
    assert note["machine"]["host"] == platform.node()
    assert note["machine"]["python"] == platform.python_version()
    assert note["packages"]["numpy"] == metadata.version("numpy")
    assert "vllm" not in note["packages"] or metadata.version("vllm")


@pytest.mark.parametrize(
    "other",
    [
        COMMAND.replace("--output o", "--output p"),
        COMMAND.replace("select_samples.py", "select_random.py"),
        "python another/script.py --output o",
        "python workflow_scripts/select_samples.py 'cut off",
        "",
    ],
)
def test_another_command_has_no_note(run_folder, other):
    note_step("select_samples", WORDS, root=run_folder)
    assert read_step_note(other, root=run_folder) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"commit": 3}'])
def test_a_damaged_note_is_none(run_folder, damage):
    note_step("select_samples", WORDS, root=run_folder)
    (file,) = (run_folder / ".snakemake" / "sluice" / "steps").iterdir()
    file.write_bytes(damage)
    assert read_step_note(COMMAND, root=run_folder) is None


def test_without_snakemake_nothing_is_written(tmp_path):
    note_step("select_samples", WORDS, root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_note_that_cannot_be_written_costs_a_warning_only(run_folder, caplog):
    (run_folder / ".snakemake" / "sluice").write_text("a file where the folder should be")
    note_step("select_samples", WORDS, root=run_folder)
    assert "could not be noted" in caplog.text


@pytest.mark.parametrize(
    ("told", "commit"),
    [
        (f"# branch.oid {'a' * 40}\n# branch.head main\n", "a" * 40),
        (f"# branch.oid {'a' * 40}\n# branch.head main\n1 .M N... x\n", "a" * 40 + "-dirty"),
        ("# branch.oid (initial)\n", None),
        ("", None),
    ],
)
def test_the_commit_is_read_from_git(monkeypatch, told, commit):
    done = step_notes.subprocess.CompletedProcess([], 0, stdout=told)
    monkeypatch.setattr(step_notes.subprocess, "run", lambda *words, **options: done)
    assert step_notes.describe_process()["commit"] == commit

"""A step notes where and with what it ran, and its command leads back to the note."""

import platform
import subprocess
from importlib import metadata

import pytest

from sluice import step_notes
from sluice.step_notes import describe_process, note_step, read_step_note

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


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository of one commit, in which the code is said to be."""
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("a = 1\n")
    _git(tmp_path, "add", "code.py")
    _git(tmp_path, "commit", "--quiet", "--message", "one")
    monkeypatch.setattr(step_notes, "_REPOSITORY", tmp_path)
    return tmp_path


def _git(folder, *words):
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    done = subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_the_commit_is_that_of_the_checkout(checkout):
    commit = _git(checkout, "rev-parse", "HEAD")
    (checkout / "untracked.txt").touch()
    assert describe_process()["commit"] == commit
    (checkout / "code.py").write_text("a = 2\n")
    assert describe_process()["commit"] == f"{commit}-dirty"


def test_a_branch_whose_name_is_no_utf_8_hides_no_commit(checkout):
    _git(checkout, "checkout", "--quiet", "-b", b"m\xfcll")
    assert describe_process()["commit"] == _git(checkout, "rev-parse", "HEAD")


def test_code_without_a_checkout_has_no_commit_of_a_repository_around_it(checkout, monkeypatch):
    unpacked = checkout / "unpacked"
    unpacked.mkdir()
    monkeypatch.setattr(step_notes, "_REPOSITORY", unpacked)
    assert describe_process()["commit"] is None


def test_a_repository_of_the_environment_is_not_taken_for_the_checkout(checkout, monkeypatch):
    commit = _git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(checkout / "elsewhere"))
    assert describe_process()["commit"] == commit


def test_a_repository_without_a_commit_has_none(tmp_path, monkeypatch):
    _git(tmp_path, "init", "--quiet")
    monkeypatch.setattr(step_notes, "_REPOSITORY", tmp_path)
    assert describe_process()["commit"] is None

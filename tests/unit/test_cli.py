"""How scripts start and end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from sluice.cli import run
from sluice.errors import DataError
from sluice.settings.base import Settings
from sluice.settings.device import ComputeShare


class Arguments(Settings):
    """Do a thing."""

    save_path: Path
    """Where it goes."""
    num_steps: int = 3
    """How often."""


def _start(argv, main=lambda arguments: None):
    run(Arguments, main, argv)


@pytest.mark.parametrize("flag", ["--save-path", "--save_path"])
def test_dash_and_underscore_are_the_same(flag):
    seen = []
    _start([flag, "x", "--num-steps", "4"], seen.append)
    assert seen == [Arguments(save_path=Path("x"), num_steps=4)]


def test_error_of_the_users_is_a_message_and_exit_code_one(capsys):
    def main(arguments):
        raise DataError("no rows", where=str(arguments.save_path))

    with pytest.raises(SystemExit) as caught:
        _start(["--save-path", "x"], main)
    assert caught.value.code == 1
    assert capsys.readouterr().err == "DataError: no rows\n  in x\n"


def test_debug_shows_where_an_error_came_from():
    def main(arguments):
        raise DataError("no rows")

    with pytest.raises(DataError):
        _start(["--debug", "--save-path", "x"], main)


def test_error_of_ours_is_not_hidden():
    def main(arguments):
        raise AssertionError("ours")

    with pytest.raises(AssertionError, match="ours"):
        _start(["--save-path", "x"], main)


def test_interruption_ends_with_130():
    def main(arguments):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        _start(["--save-path", "x"], main)
    assert caught.value.code == 130


@pytest.mark.parametrize("argv", [[], ["--save-path", "x", "--num-step", "4"]])
def test_command_line_that_does_not_parse_exits_with_two(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        _start(argv)
    assert caught.value.code == 2


def test_help_shows_docstring_descriptions_and_defaults(capsys):
    with pytest.raises(SystemExit) as caught:
        _start(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for words in ("Do a thing.", "--save-path", "Where it goes.", "How often.", "3"):
        assert words in text


def test_threads_of_the_rule_are_kept_and_idle_ones_sleep(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    _start(["--save-path", "x"])
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize(("given", "used"), [("1", "2"), ("2", "2"), ("7", "7"), (None, None)])
def test_a_step_computes_with_at_least_the_threads_that_its_rule_fixes(monkeypatch, given, used):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    seen = []
    run(ComputeShare, lambda parsed: seen.append(os.environ.get("OMP_NUM_THREADS")),
        ["--min-threads", "2"])  # fmt: skip
    assert seen == [used]


@pytest.mark.parametrize(
    "script", sorted((ROOT / "workflow_scripts").glob("*.py")), ids=lambda script: script.stem
)
def test_every_script_shows_its_help(script):
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout

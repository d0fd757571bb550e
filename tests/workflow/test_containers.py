"""With `--sdm apptainer` every step runs in the image of its environment.

Apptainer itself is pretended: a script that notes its arguments and runs the command outside.
"""

import re

import pytest
import yaml
from support import ROOT, clone, snakemake

_PRETENDED = """#!/bin/bash
if [ "$1" = --version ]; then echo "apptainer version 1.3.4"; exit; fi
echo "$*" >>"$APPTAINER_CALLS"
until [[ "$1" = *.sif ]]; do shift; done
shift
exec "$@"
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The file with a line for each call of the pretended apptainer."""
    command = tmp_path / "bin" / "apptainer"
    command.parent.mkdir()
    command.write_text(_PRETENDED)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=":")
    monkeypatch.setenv("APPTAINER_CALLS", str(tmp_path / "calls.txt"))
    return tmp_path / "calls.txt"


@pytest.fixture
def with_images(tmp_path):
    """A clone with an empty file in the place of each image."""
    folder = clone(tmp_path / "sluice")
    for file in (ROOT / "envs").glob("*.yaml"):
        (folder / "containers" / f"{file.stem}.sif").touch()
    return folder


def test_a_step_runs_in_the_image_of_its_environment(with_images, calls):
    snakemake(with_images, "--cores", "1", "--sdm", "apptainer", "--", "make_demo_data")
    (call,) = calls.read_text().splitlines()
    assert " containers/core.sif bash -c " in call
    assert "python workflow_scripts/make_demo_data.py" in call
    assert (with_images / "results/demo/numbers.jsonl").is_file()


def test_every_image_is_asked_for(with_images, calls, tmp_path):
    """A missing image stops the run before its first step, with the command that builds it."""
    tasks = {"own": {"model": "base", "prompts": "p.jsonl", "grader": "number", "engine": "vllm"}}
    values = {"tasks": tasks, "tracking": {"enabled": True}}
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(values))
    (with_images / "p.jsonl").touch()
    targets = ["all", "results/sampled/own/accepted.jsonl", "results/adapters/rft/final_model"]
    words = ("-n", "--configfile", str(mine), "--sdm", "apptainer", "--", *targets)
    snakemake(with_images, *words)
    for file in (ROOT / "envs").glob("*.yaml"):
        image = with_images / "containers" / f"{file.stem}.sif"
        image.unlink()
        text = snakemake(with_images, *words, is_ok=False).stdout
        assert f"containers/{file.stem}.sif does not exist" in text
        assert f"apptainer build containers/{file.stem}.sif containers/{file.stem}.def" in text
        image.touch()
    assert not calls.exists()


def test_without_apptainer_no_image_is_asked_for(fresh, calls):
    text = snakemake(fresh, "-n", "make_demo_data").stdout
    assert "rule make_demo_data:" in text
    assert not re.search("singularity|containers/", text, re.IGNORECASE)
    assert not calls.exists()

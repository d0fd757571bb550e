"""Environment files and requirements agree, and every pin is exact."""

import re

import pytest
import yaml
from support import ROOT

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9.+]+)$")

# vLLM pins another torch than the trainer: it stands in no requirements file.
_ELSEWHERE_ONLY = {("vllm.yaml", "vllm")}


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    kept = [line for line in lines if line and not line.startswith(("#", "-r "))]
    return {re.sub(r"[-_.]+", "-", m[1].lower()): m[2] for m in map(_PIN.match, kept) if m}, kept


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-tracking.txt"]
)
def test_every_requirement_is_pinned_exactly(name):
    found, lines = pins(name)
    assert len(found) == len(lines) > 5


@pytest.mark.parametrize("file", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda file: file.name)
def test_environment_pins_are_those_of_the_requirements(file):
    files = ("requirements.txt", "requirements-dev.txt", "requirements-tracking.txt")
    known = {name: version for each in files for name, version in pins(each)[0].items()}
    entries = yaml.safe_load(file.read_text())["dependencies"]
    (from_pip,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    assert from_pip
    for entry in from_pip:
        name, version = _PIN.match(entry).groups()
        if (file.name, name) in _ELSEWHERE_ONLY:
            continue
        assert known[re.sub(r"[-_.]+", "-", name.lower())] == version, entry

"""Environment files, their locks and the requirements agree, and every pin is exact."""

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from support import ROOT

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9.+]+)$")
_LOCKED = re.compile(r"^([a-z0-9-]+)==(\S+)((?: \\\n +--hash=sha256:[0-9a-f]{64})*)$", re.MULTILINE)

# vLLM pins another torch than the trainer: it stands in no requirements file.
_ELSEWHERE_ONLY = {("vllm.yaml", "vllm")}
_OTHER_IN_VLLM = {"certifi", "fastapi", "numpy", "torch", "transformers"}
# Where torch's build is the machine's own choice, these are in no lock.
_OF_TORCH = re.compile(r"(torch|triton)$|(cuda|nvidia)-")

REQUIREMENTS = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-tracking.txt",
    "requirements-deepspeed.txt",
)
ENVIRONMENTS = pytest.mark.parametrize(
    "file", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda file: file.name
)


def plain(name):
    return re.sub(r"[-_.]+", "-", name.lower())


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    kept = [line for line in lines if line and not line.startswith(("#", "-r "))]
    return {plain(m[1]): m[2] for m in map(_PIN.match, kept) if m}, kept


def required():
    return {name: version for each in REQUIREMENTS for name, version in pins(each)[0].items()}


def from_pip(file):
    entries = yaml.safe_load(file.read_text())["dependencies"]
    (found,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    return dict(_PIN.match(entry).groups() for entry in found)


def lock_of(file):
    return file.with_name(f"requirements-{file.stem}.txt")


def locked(file):
    return {name: version for name, version, _ in _LOCKED.findall(lock_of(file).read_text())}


def is_left_out(name, file):
    return file.name != "vllm.yaml" and bool(_OF_TORCH.match(name))


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_exactly(name):
    found, lines = pins(name)
    assert len(found) == len(lines) > 5


@ENVIRONMENTS
def test_environment_pins_are_those_of_the_requirements(file):
    known = required()
    assert from_pip(file)
    for name, version in from_pip(file).items():
        if (file.name, name) not in _ELSEWHERE_ONLY:
            assert known[plain(name)] == version, name


def test_every_lock_has_an_environment():
    locks = {path.name for path in (ROOT / "envs").glob("requirements*.txt")}
    assert locks == {lock_of(file).name for file in (ROOT / "envs").glob("*.yaml")}


@ENVIRONMENTS
def test_lock_is_hashed_versions_and_nothing_else(file):
    text = re.sub(r"^#.*\n", "", lock_of(file).read_text(), flags=re.MULTILINE)
    found = _LOCKED.findall(text)
    assert len(found) > 20
    assert all(hashes for _, _, hashes in found)
    assert not _LOCKED.sub("", text).strip()


@ENVIRONMENTS
def test_lock_has_the_pins_of_its_environment(file):
    found = locked(file)
    for name, version in from_pip(file).items():
        if is_left_out(name, file):
            assert plain(name) not in found
            assert f"pip install {name}=={version} " in lock_of(file).read_text()
        else:
            assert found[plain(name)] == version, name


@ENVIRONMENTS
def test_lock_agrees_with_the_requirements(file):
    known, found = required(), locked(file)
    other = {name for name in found.keys() & known.keys() if found[name] != known[name]}
    assert other == (_OTHER_IN_VLLM if file.name == "vllm.yaml" else set())


@ENVIRONMENTS
def test_lock_has_what_its_packages_need(file):
    """As far as this machine has the same versions installed, and so knows what they need."""
    found = locked(file)
    looked_at = 0
    for name, version in {**from_pip(file), **found}.items():  # torch, too, though it is left out
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if package.version.split("+")[0] != version:
            continue
        looked_at += 1
        for need in map(Requirement, package.requires or []):
            if need.marker and not need.marker.evaluate({"extra": ""}):
                continue
            if is_left_out(plain(need.name), file):
                continue
            assert plain(need.name) in found, (name, need)
            assert need.specifier.contains(found[plain(need.name)], prereleases=True), (name, need)
    assert looked_at > 20


def test_make_locks_writes_the_same_bytes(tmp_path):
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not beside this Python: pip install uv")
    try:
        urllib.request.urlopen("https://pypi.org/simple/tqdm/", timeout=10).close()
    except OSError as error:
        pytest.skip(f"PyPI is not reached: {error}")
    shutil.copytree(ROOT / "envs", tmp_path / "envs")
    for name in REQUIREMENTS:
        shutil.copy(ROOT / name, tmp_path)
    for lock in (tmp_path / "envs").glob("*.txt"):
        lock.unlink()
    subprocess.run(
        ["bash", tmp_path / "envs" / "write_locks.sh"],
        env={**os.environ, "PATH": f"{uv.parent}:{os.environ['PATH']}"},
        check=True,
    )
    for file in (ROOT / "envs").glob("*.yaml"):
        assert (tmp_path / "envs" / lock_of(file).name).read_bytes() == lock_of(file).read_bytes()

"""Container recipes install the locks of the environments, with the environments' Python."""

import re

import pytest
import yaml
from support import ROOT

DOCKERFILE = (ROOT / "containers" / "Dockerfile").read_text()
ENVIRONMENTS = sorted(file.stem for file in (ROOT / "envs").glob("*.yaml"))
each_environment = pytest.mark.parametrize("name", ENVIRONMENTS)


def section(recipe, name):
    """The lines of an Apptainer recipe's section."""
    text = (ROOT / "containers" / recipe).read_text()
    found = re.search(rf"^%{name}\n((?:    .*\n)+)", text, re.MULTILINE)
    return [line.strip() for line in found[1].splitlines()] if found else []


def stage(name):
    """The instructions of a Dockerfile's target."""
    found = re.search(rf"^FROM base AS {name}\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.DOTALL | re.M)
    return found[1]


def packages(name):
    """What an environment names, as it is written."""
    return yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]


def test_every_environment_has_both_recipes_and_no_other_is_there():
    assert sorted(file.stem for file in (ROOT / "containers").glob("*.def")) == ENVIRONMENTS
    assert sorted(re.findall(r"^FROM base AS (\w+)$", DOCKERFILE, re.MULTILINE)) == ENVIRONMENTS


@each_environment
def test_python_is_the_environments(name):
    (python,) = [entry for entry in packages(name) if str(entry).startswith("python=")]
    image = f"python:{python.removeprefix('python=')}-bookworm"
    assert f"\nFrom: {image}\n" in (ROOT / "containers" / f"{name}.def").read_text()
    assert f"\nFROM {image} AS base\n" in DOCKERFILE


@each_environment
def test_recipe_installs_the_lock_of_its_environment(name):
    lock, place = f"requirements-{name}.txt", "/opt/sluice/requirements.txt"
    install = f"python -m pip install --no-cache-dir --no-deps --require-hashes -r {place}"
    assert (ROOT / "envs" / lock).is_file()
    assert section(f"{name}.def", "files") == [f"envs/{lock} {place}"]
    assert section(f"{name}.def", "post")[:2] == ["set -e", install]
    assert f"COPY {lock} {place}\nRUN {install} " in stage(name)


@each_environment
def test_recipe_adds_the_pinned_torch_where_the_lock_leaves_it_out(name):
    (from_pip,) = [entry["pip"] for entry in packages(name) if isinstance(entry, dict)]
    torch = [pin for pin in from_pip if pin.startswith("torch==")]
    in_def = [line for line in section(f"{name}.def", "post") if " torch" in line]
    assert [line.split()[-1] for line in in_def] == torch
    assert re.findall(r" (torch==\S+)", stage(name)) == torch
    if torch:
        assert section(f"{name}.def", "arguments") == ["torch_index=https://pypi.org/simple"]
        assert "--index-url {{ torch_index }} " in in_def[0]
        assert "ARG TORCH_INDEX=https://pypi.org/simple\n" in stage(name)


@each_environment
def test_recipe_ends_with_a_check_that_all_is_there(name):
    assert section(f"{name}.def", "post")[-1] == "python -m pip check"
    assert stage(name).rstrip().endswith("&& python -m pip check")

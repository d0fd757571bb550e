"""The Slurm profile knows every step; the one place for partition, account and GPU type works."""

import re

import pytest
from snakemake.profiles import ProfileConfigFileParser
from support import ROOT

PROFILE = ROOT / "profiles" / "slurm" / "config.yaml"
_RULES = re.compile(r"^rule (\w+):|^use rule \w+ as (\w+) with:", re.MULTILINE)


def read(text, folder):
    file = folder / "config.yaml"
    file.write_text(text)
    with file.open() as stream:
        return ProfileConfigFileParser().parse(stream)


@pytest.fixture(scope="module")
def rules():
    text = "\n".join(file.read_text() for file in (ROOT / "rules").glob("*.smk"))
    return {first or second for first, second in _RULES.findall(text)}


def resources(values):
    found = {}
    for entry in values["set-resources"]:
        rule, name, value = re.fullmatch(r"(\w+):(\w+)=(.*)", entry).groups()
        found.setdefault(rule, {})[name] = value
    return found


def test_every_step_asks_for_memory_time_cores_and_partition(rules, tmp_path):
    values = read(PROFILE.read_text(), tmp_path)
    asked = resources(values)
    assert set(asked) == rules
    for each in asked.values():
        assert re.fullmatch(r"attempt \* \d+", each["mem_mb"])
        assert re.fullmatch(r"attempt \* \d+", each["runtime"])
        assert each["slurm_partition"] == "'gpu'"
        assert "gpu_model" not in each
    assert {entry.split("=")[0] for entry in values["set-threads"]} == rules


def test_entries_at_the_top_reach_every_step_that_they_are_for(tmp_path):
    text = PROFILE.read_text()
    for name, value in {
        "cpu_partition": "long",
        "account": "lab",
        "gpu_model": "a100",
        "constraint": "big",
    }.items():
        text, count = re.subn(rf"^  - {name} = [^#]*", f'  - {name} = "{value}" ', text, flags=re.M)
        assert count == 1
    asked = resources(read(text, tmp_path))
    assert {each["slurm_account"] for each in asked.values()} == {"'lab'"}
    assert asked["fine_tune"]["slurm_partition"] == "'gpu'"
    assert asked["fine_tune"]["gpu_model"] == "'a100'"
    assert asked["fine_tune"]["constraint"] == "'big'"
    assert asked["select_samples"]["slurm_partition"] == "'long'"
    assert "gpu_model" not in asked["select_samples"]


def test_groups_are_of_rules_that_are_there(rules, tmp_path):
    grouped = [entry.split("=")[0] for entry in read(PROFILE.read_text(), tmp_path)["groups"]]
    assert set(grouped) <= rules

"""The Slurm profile knows every step; the one place for partition, account and GPU type works."""

import re

import pytest
from snakemake.profiles import ProfileConfigFileParser
from support import ROOT

PROFILE = ROOT / "profiles" / "slurm" / "config.yaml"
_RULES = re.compile(r"^rule (\w+):|^use rule \w+ as (\w+) with:", re.MULTILINE)
_LOCAL = re.compile(r"^localrules:\n((?:    \w+,?\n)+)", re.MULTILINE)

# Each a job of its own: a model is loaded, trained or asked, or all of the data is read.
LONGER = {
    "bootstrap_model",
    "bootstrap_model_with_vllm",
    "collect_router_data",
    "compare_checkpoint",
    "convert_checkpoint",
    "evaluate_base_loss",
    "evaluate_core",
    "evaluate_tokenizer",
    "fine_tune",
    "fine_tune_turn",
    "generate_answers",
    "generate_answers_with_vllm",
    "merge_adapter",
    "merge_turn",
    "sample_responses",
    "sample_responses_with_vllm",
    "simulate_dialogues",
    "simulate_dialogues_with_vllm",
    "tokenize_corpus",
    "track_results",  # hashes what it notes, and waits for a server
    "train_base_model",
    "warm_up_gate",
    "write_provenance",  # hashes every byte on the way to every artifact
    "write_report",  # reads every score
}


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


def test_a_step_of_seconds_is_no_job_of_its_own(rules, tmp_path):
    """Each rule goes with others, runs beside Snakemake, or takes longer; none does two of them."""
    grouped = [entry.split("=")[0] for entry in read(PROFILE.read_text(), tmp_path)["groups"]]
    (listed,) = _LOCAL.findall((ROOT / "Snakefile").read_text())
    assert sorted([*grouped, *re.findall(r"\w+", listed), *LONGER]) == sorted(rules)


def test_a_group_is_of_more_than_one_rule(tmp_path):
    """A rule alone in its group would be the crumb that grouping is to avoid."""
    groups = [entry.split("=")[1] for entry in read(PROFILE.read_text(), tmp_path)["groups"]]
    assert min(map(groups.count, groups)) >= 2

"""Families are told from names, hub ids and paths."""

import pytest

from sluice.model_families import families_of, known_families, shared_families


@pytest.mark.parametrize(
    ("name", "families"),
    [
        ("Qwen/Qwen2.5-3B-Instruct", {"qwen"}),
        ("deepseek-chat", {"deepseek"}),
        ("meta-llama/Llama-3.1-8B", {"llama"}),
        ("gpt-4o-mini", {"gpt"}),
        ("o3-mini", {"gpt"}),
        ("google/gemma-3-4b-it", {"gemini"}),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", {"deepseek", "qwen"}),
        ("/models/Phi-4", {"phi"}),
        ("01-ai/Yi-34B", {"yi"}),
        ("results/base/base/final_model", set()),
        ("sophia-7b", set()),
        ("dolphin", set()),
    ],
)
def test_family_of_a_name(name, families):
    assert families_of(name) == families


def test_a_distilled_model_shares_the_family_of_its_base():
    assert shared_families("DeepSeek-R1-Distill-Qwen-7B", "Qwen/Qwen3-1.7B") == ["qwen"]
    assert shared_families("gpt-4o", "claude-sonnet-4") == []


@pytest.mark.parametrize(
    ("config", "families"),
    [
        ('{"model_type": "qwen3_moe"}', {"qwen"}),
        ('{"model_type": "llama", "_name_or_path": "deepseek-ai/deepseek-coder"}', {"deepseek"}),
        ('{"model_type": "llama", "_name_or_path": ""}', {"llama"}),
        ('{"model_type": "of_my_own"}', set()),
        ("{}", set()),
        ("[1]", set()),
        ("no JSON", set()),
        (None, set()),
    ],
)
def test_family_of_a_folder_whose_name_tells_none(tmp_path, config, families):
    folder = tmp_path / "tuned"
    folder.mkdir()
    if config is not None:
        (folder / "config.json").write_text(config)
    assert families_of(str(folder)) == set()
    assert known_families(str(folder)) == families


def test_a_folders_name_goes_before_its_architecture(tmp_path):
    folder = tmp_path / "Yi-34B"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    assert known_families(str(folder)) == {"yi"}

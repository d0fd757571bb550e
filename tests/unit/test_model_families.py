"""Families are told from names, hub ids and paths."""

import pytest

from sluice.model_families import families_of, shared_families


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

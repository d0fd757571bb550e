"""What the configuration asks for in the end.

REQUIRED INPUTS: rules/common.smk, rules/common_models.smk, rules/common_evaluation.smk before it.
OUTPUTS: none; defines `final_artifacts`.
"""


def final_artifacts():
    """What the configuration asks for in the end."""
    return [
        "results/selected_data.jsonl",
        *expand("results/random/{dataset}.jsonl", dataset=DATASETS),
        gate_file("comparison.json"),
        *comparison_summaries(),
        *expand("results/tokenizer/{name}/evaluation.csv", name=BUILT_MODELS),
        *expand("results/base/{name}/loss.json", name=BUILT_MODELS),
    ]

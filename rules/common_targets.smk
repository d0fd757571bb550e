"""What the configuration asks for in the end.

REQUIRED INPUTS: rules/common.smk, rules/common_models.smk, rules/common_evaluation.smk,
    rules/common_report.smk before it.
OUTPUTS: none; defines `final_artifacts` and `named_artifacts`.
"""

# What a whole run does not ask for by itself, but a person does by name.
_NAMED = (
    "flywheel/turn_*/summary.json",
    "flywheel/turn_*/judge_calibration.json",
    "base/*/core.csv",
)


def final_artifacts():
    """What the configuration asks for in the end."""
    return [
        "results/selected_data.jsonl",
        *expand("results/random/{dataset}.jsonl", dataset=DATASETS),
        gate_file("comparison.json"),
        *comparison_summaries(),
        *expand("results/tokenizer/{name}/evaluation.csv", name=BUILT_MODELS),
        *expand("results/base/{name}/loss.json", name=BUILT_MODELS),
        *expand("results/flywheel/turn_{turn}/summary.json", turn=TURNS),
        *expand("results/flywheel/turn_{turn}/judge_calibration.json", turn=TURNS[-1:]),
    ]


def named_artifacts(wildcards):
    """What was asked for by name and is there, quoted: turns of the flywheel, CORE results.

    Not as inputs: a whole run must not make them anew.
    """
    there = {str(file) for each in _NAMED for file in Path("results").glob(each)}
    return shlex.join(sorted(there.difference(final_artifacts())))

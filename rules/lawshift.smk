"""LawShift: its folder as a suite, and its results by change type.

REQUIRED INPUTS: the folder that `suites.{suite}.lawshift` names, resources/lawshift/labels.csv,
    resources/prompts/lawshift_{original,poisoned}_v1.txt
OUTPUTS: results/suites/{suite}.jsonl, results/evaluation/{subject}/{suite}.lawshift.{csv,md}
"""


rule convert_lawshift:
    """Make a suite of LawShift's folder: both splits of every change type."""
    input:
        cases=lawshift_files,
        labels="resources/lawshift/labels.csv",
        original_prompt="resources/prompts/lawshift_original_v1.txt",
        poisoned_prompt="resources/prompts/lawshift_poisoned_v1.txt",
    output:
        suite="results/suites/{suite}.jsonl",
    log:
        "logs/convert_lawshift/{suite}.log",
    benchmark:
        "results/benchmarks/convert_lawshift/{suite}.tsv"
    wildcard_constraints:
        suite="|".join(map(re.escape, LAWSHIFT_SUITES)) or "(?!)",
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        folder=lawshift_folder,
        code=code("convert_lawshift"),
    shell:
        "python workflow_scripts/convert_lawshift.py --folder {params.folder:q}"
        " --suite {wildcards.suite:q} --labels {input.labels:q}"
        " --original-prompt {input.original_prompt:q} --poisoned-prompt {input.poisoned_prompt:q}"
        " --output {output.suite:q} > {log:q} 2>&1"


rule evaluate_lawshift:
    """Tabulate accuracy by change type before and after the change of the statute."""
    input:
        graded="results/evaluation/{subject}/{suite}.jsonl",
        labels="resources/lawshift/labels.csv",
    output:
        table="results/evaluation/{subject}/{suite}.lawshift.csv",
        page=report(
            "results/evaluation/{subject}/{suite}.lawshift.md",
            caption="../resources/report/captions/lawshift.rst",
            category="Evaluation",
        ),
    log:
        "logs/evaluate_lawshift/{subject}.{suite}.log",
    benchmark:
        "results/benchmarks/evaluate_lawshift/{subject}.{suite}.tsv"
    wildcard_constraints:
        suite="|".join(map(re.escape, LAWSHIFT_SUITES)) or "(?!)",
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        flags=flags("evaluate_lawshift"),
        code=code("evaluate_lawshift"),
    shell:
        "python workflow_scripts/evaluate_lawshift.py {params.flags} --graded {input.graded:q}"
        " --labels {input.labels:q} --subject {wildcards.subject:q} --table {output.table:q}"
        " --page {output.page:q} > {log:q} 2>&1"

"""Answers of models and adapters to suites, graded.

REQUIRED INPUTS: the samples that `suites:` names, results/base/{model}/final_model/ or the checkpoint
    that `models:` names, results/adapters/{adapter}/final_model/
OUTPUTS: results/evaluation/{subject}/{suite}.{answers.jsonl,jsonl,csv,evaluation_results.json,
    subtype_accuracy.png}
"""


rule generate_answers:
    """Let a model or an adapter answer a suite; a killed run goes on where it was."""
    input:
        samples=suite_samples,
        subject=subject_files,
    output:
        answers="results/evaluation/{subject}/{suite}.answers.jsonl",
    log:
        "logs/generate_answers/{subject}.{suite}.log",
    benchmark:
        "results/benchmarks/generate_answers/{subject}.{suite}.tsv"
    wildcard_constraints:
        suite=suites_of("transformers", "openai"),
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=suite_gpus,
    params:
        flags=answering_flags,
        untracked=answering_untracked,
        subject=subject_flags,
        code=code("generate_answers"),
    shell:
        "python workflow_scripts/generate_answers.py {params.flags} {params.subject}"
        " {params.untracked} --samples {input.samples:q} --output {output.answers:q}"
        " --num-gpus {resources.gpu} --min-threads 2 --state-dir"
        " results/.state/generate_answers/{wildcards.subject:q}/{wildcards.suite:q} > {log:q} 2>&1"


# vLLM's torch is not the trainer's: its suites run the same script in an environment of their own.
use rule generate_answers as generate_answers_with_vllm with:
    wildcard_constraints:
        suite=suites_of("vllm"),
    conda:
        "../envs/vllm.yaml"
    resources:
        mem_mb=32000,
        runtime=1440,
        gpu=suite_gpus,


rule grade_answers:
    """Give each answer a verdict; accuracy by group with 95 % intervals."""
    input:
        answers="results/evaluation/{subject}/{suite}.answers.jsonl",
        samples=suite_samples,
    output:
        graded="results/evaluation/{subject}/{suite}.jsonl",
        table=report(
            "results/evaluation/{subject}/{suite}.csv",
            caption="../resources/report/captions/accuracy.rst",
            category="Evaluation",
        ),
        results="results/evaluation/{subject}/{suite}.evaluation_results.json",
    log:
        "logs/grade_answers/{subject}.{suite}.log",
    benchmark:
        "results/benchmarks/grade_answers/{subject}.{suite}.tsv"
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=grading_flags,
        code=code("grade_answers"),
    shell:
        "python workflow_scripts/grade_answers.py {params.flags} --answers {input.answers:q}"
        " --samples {input.samples:q} --subject {wildcards.subject:q} --suite {wildcards.suite:q}"
        " --graded {output.graded:q} --table {output.table:q} --results {output.results:q}"
        " > {log:q} 2>&1"


rule plot_subtype_accuracy:
    """Draw accuracy by group: bars with counts and intervals."""
    input:
        table="results/evaluation/{subject}/{suite}.csv",
    output:
        picture=report(
            "results/evaluation/{subject}/{suite}.subtype_accuracy.png",
            caption="../resources/report/captions/accuracy.rst",
            category="Evaluation",
        ),
    log:
        "logs/plot_subtype_accuracy/{subject}.{suite}.log",
    benchmark:
        "results/benchmarks/plot_subtype_accuracy/{subject}.{suite}.tsv"
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("plot_subtype_accuracy"),
    shell:
        "python workflow_scripts/plot_subtype_accuracy.py --table {input.table:q}"
        " --title {wildcards.subject:q}' on '{wildcards.suite:q} --picture {output.picture:q}"
        " > {log:q} 2>&1"

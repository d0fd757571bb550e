"""The CORE metric of base models; not part of `all`, since it needs a bundle of data.

REQUIRED INPUTS: the folder that `core.bundle` names, results/base/{model}/final_model/ or the
    checkpoint that `models:` names
OUTPUTS: results/base/{model}/core.csv and core.items.jsonl
"""


rule evaluate_core:
    """Evaluate a base model on the CORE metric; a killed run goes on where it was."""
    input:
        bundle=core_bundle_files,
        model=model_files,
    output:
        table=report("results/base/{model}/core.csv", category="Base model"),
        decisions="results/base/{model}/core.items.jsonl",
    log:
        "logs/evaluate_core/{model}.log",
    benchmark:
        "results/benchmarks/evaluate_core/{model}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=720,
        gpu=1,
    params:
        flags=flags("evaluate_core"),
        model=model_flags,
        code=code("evaluate_core"),
    shell:
        "python workflow_scripts/evaluate_core.py {params.flags} {params.model}"
        " --table {output.table:q} --items {output.decisions:q} --state-dir"
        " results/.state/evaluate_core/{wildcards.model:q} --num-gpus {resources.gpu} --min-threads 2"
        " > {log:q} 2>&1"

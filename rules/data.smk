"""From any source to canonical samples.

REQUIRED INPUTS: the sources named under `datasets:` in config.yaml.
OUTPUTS: results/data/{dataset}/samples.jsonl
"""


rule convert_dataset:
    """Turn any source format into canonical samples; count and keep rows that cannot be used."""
    input:
        source=source_files,
        prompt="resources/prompts/legal_judgment_v1.txt",
    output:
        samples="results/data/{dataset}/samples.jsonl",
        rejected="results/data/{dataset}/samples.rejected.jsonl",
        ledger="results/data/{dataset}/samples.ledger.json",
    log:
        "logs/convert_dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/convert_dataset/{dataset}.tsv"
    retries: 0
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        flags=flags("convert_dataset"),
        source=source_flags,
        code=code("convert_dataset"),
    shell:
        "python workflow_scripts/convert_dataset.py {params.flags} {params.source}"
        " --dataset {wildcards.dataset} --samples {output.samples:q}"
        " --rejected {output.rejected:q} --ledger {output.ledger:q}"
        " --legal-prompt {input.prompt:q}"
        " --kept-on-failure results/.state/convert_dataset/{wildcards.dataset}/rejected.jsonl"
        " > {log:q} 2>&1"

"""One row of scores per sample, and the samples worth learning.

REQUIRED INPUTS: results/router_data/{dataset}_router_data.pt, results/data/{dataset}/train.jsonl
OUTPUTS: results/scores/{dataset}.parquet, results/selected/{dataset}.jsonl,
    results/random/{dataset}.jsonl, results/selected_data.jsonl
"""


rule score_samples:
    """Turn per-token records into one row per sample and one column per score."""
    input:
        router_data="results/router_data/{dataset}_router_data.pt",
    output:
        scores="results/scores/{dataset}.parquet",
    log:
        "logs/score_samples/{dataset}.log",
    benchmark:
        "results/benchmarks/score_samples/{dataset}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        flags=flags("score_samples"),
        code=code("score_samples"),
    shell:
        "python workflow_scripts/score_samples.py {params.flags}"
        " --router-data {input.router_data:q} --output {output.scores:q} > {log:q} 2>&1"


rule select_samples:
    """Keep the best samples of one dataset, best first."""
    input:
        scores=pooled_scores,
        samples="results/data/{dataset}/train.jsonl",
    output:
        selected="results/selected/{dataset}.jsonl",
        ledger="results/selected/{dataset}.ledger.json",
    log:
        "logs/select_samples/{dataset}.log",
    benchmark:
        "results/benchmarks/select_samples/{dataset}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=flags("select_samples"),
        code=code("select_samples"),
    shell:
        "python workflow_scripts/select_samples.py {params.flags} --scores {input.scores:q}"
        " --samples {input.samples:q} --dataset {wildcards.dataset}"
        " --output {output.selected:q} --ledger {output.ledger:q} > {log:q} 2>&1"


rule select_random:
    """Draw as many samples at random: the control for every selection."""
    input:
        scores="results/scores/{dataset}.parquet",
        samples="results/data/{dataset}/train.jsonl",
    output:
        random="results/random/{dataset}.jsonl",
        ledger="results/random/{dataset}.ledger.json",
    log:
        "logs/select_random/{dataset}.log",
    benchmark:
        "results/benchmarks/select_random/{dataset}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=flags("select_random"),
        code=code("select_random"),
    shell:
        "python workflow_scripts/select_random.py {params.flags} --scores {input.scores:q}"
        " --samples {input.samples:q} --dataset {wildcards.dataset}"
        " --output {output.random:q} --ledger {output.ledger:q} > {log:q} 2>&1"


rule merge_selected:
    """Put the kept samples of all datasets into one file, and read it back."""
    input:
        selected=expand("results/selected/{dataset}.jsonl", dataset=DATASETS),
    output:
        merged="results/selected_data.jsonl",
        ledger="results/selected_data.ledger.json",
    log:
        "logs/merge_selected.log",
    benchmark:
        "results/benchmarks/merge_selected.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("merge_selected"),
    shell:
        "python workflow_scripts/merge_selected.py --selected {input.selected:q}"
        " --output {output.merged:q} --ledger {output.ledger:q} > {log:q} 2>&1"

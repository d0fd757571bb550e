"""Clean and split: no duplicates, no evaluation questions, similar samples on one side.

REQUIRED INPUTS: results/data/{dataset}/samples.jsonl; the files of data.evaluation_texts.
OUTPUTS: results/data/{dataset}/clean.jsonl, clusters.parquet, train.jsonl, test.jsonl, split.json,
each step's ledger, and clean.rejected.jsonl.
"""


rule drop_overlap:
    """Drop exact and near duplicates, and samples that share text with evaluation questions."""
    input:
        samples="results/data/{dataset}/samples.jsonl",
        evaluation=settings.data.evaluation_texts,
    output:
        clean="results/data/{dataset}/clean.jsonl",
        rejected="results/data/{dataset}/clean.rejected.jsonl",
        ledger="results/data/{dataset}/clean.ledger.json",
        clusters="results/data/{dataset}/clusters.parquet",
    log:
        "logs/drop_overlap/{dataset}.log",
    benchmark:
        "results/benchmarks/drop_overlap/{dataset}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        flags=flags("drop_overlap"),
        code=code("drop_overlap"),
    shell:
        "python workflow_scripts/drop_overlap.py {params.flags}"
        " --samples {input.samples:q} --dataset {wildcards.dataset:q}"
        " --output {output.clean:q} --clusters {output.clusters:q} > {log:q} 2>&1"


rule split_dataset:
    """Split by group into train and test, whole near-duplicate clusters on one side."""
    input:
        samples="results/data/{dataset}/clean.jsonl",
        clusters="results/data/{dataset}/clusters.parquet",
    output:
        train="results/data/{dataset}/train.jsonl",
        test="results/data/{dataset}/test.jsonl",
        summary="results/data/{dataset}/split.json",
        ledger="results/data/{dataset}/split.ledger.json",
    log:
        "logs/split_dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/split_dataset/{dataset}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=flags("split_dataset"),
        code=code("split_dataset"),
    shell:
        "python workflow_scripts/split_dataset.py {params.flags}"
        " --samples {input.samples:q} --clusters {input.clusters:q}"
        " --dataset {wildcards.dataset:q} --train {output.train:q} --test {output.test:q}"
        " --summary {output.summary:q} > {log:q} 2>&1"

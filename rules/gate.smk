"""A checkpoint with quality gates, its gates warmed up, and what they say of every token.

REQUIRED INPUTS: results/base/{model}/final_model/ or the checkpoint that `models:` names,
    results/data/{dataset}/train.jsonl
OUTPUTS: results/gate/{model}/{converted/,comparison.json,gate_weights.pt},
    results/router_data/{dataset}_router_data.pt
"""


rule convert_checkpoint:
    """Add a quality gate to every layer of a checkpoint, and prove it the same model."""
    input:
        model=model_files,
    output:
        folder=directory("results/gate/{model}/converted"),
    log:
        "logs/convert_checkpoint/{model}.log",
    benchmark:
        "results/benchmarks/convert_checkpoint/{model}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        flags=flags("convert_checkpoint"),
        source=model_flags,
        code=code("convert_checkpoint"),
    shell:
        "python workflow_scripts/convert_checkpoint.py {params.flags} {params.source}"
        " --save-path {output.folder:q} > {log:q} 2>&1"


rule compare_checkpoint:
    """Prove again, from the files alone, that the gated model is its source."""
    input:
        folder="results/gate/{model}/converted",
        model=model_files,
    output:
        comparison="results/gate/{model}/comparison.json",
    log:
        "logs/compare_checkpoint/{model}.log",
    benchmark:
        "results/benchmarks/compare_checkpoint/{model}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        flags=flags("compare_checkpoint"),
        code=code("compare_checkpoint"),
    shell:
        "python workflow_scripts/compare_checkpoint.py {params.flags}"
        " --converted-model {input.folder:q} --output {output.comparison:q} > {log:q} 2>&1"


rule warm_up_gate:
    """Train the gates on real samples and flawed copies; the model itself stays as it is."""
    input:
        folder="results/gate/{model}/converted",
        samples=expand("results/data/{dataset}/train.jsonl", dataset=DATASETS),
    output:
        weights="results/gate/{model}/gate_weights.pt",
        training_log="results/gate/{model}/warm_up_log.json",
    log:
        "logs/warm_up_gate/{model}.log",
    benchmark:
        "results/benchmarks/warm_up_gate/{model}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=120,
        gpu=gate_gpus,
    params:
        flags=flags("warm_up_gate"),
        code=code("warm_up_gate"),
    shell:
        "python workflow_scripts/warm_up_gate.py {params.flags} --model {input.folder:q}"
        " --num-gpus {resources.gpu} --min-threads 2"
        " --samples {input.samples:q} --output {output.weights:q}"
        " --training-log {output.training_log:q}"
        " --state-dir results/.state/warm_up_gate > {log:q} 2>&1"


rule collect_router_data:
    """Score one shard: gate logits, perplexity and entropy of every token."""
    input:
        folder=gate_file("converted"),
        weights=gate_file("gate_weights.pt"),
        samples="results/data/{dataset}/train.jsonl",
    output:
        shard="results/router_data/shards/{dataset}.{shard}_of_{num_shards}.pt",
        ledger="results/router_data/shards/{dataset}.{shard}_of_{num_shards}.ledger.json",
        rejected="results/router_data/shards/{dataset}.{shard}_of_{num_shards}.rejected.jsonl",
    log:
        "logs/collect_router_data/{dataset}.{shard}_of_{num_shards}.log",
    benchmark:
        "results/benchmarks/collect_router_data/{dataset}.{shard}_of_{num_shards}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=gate_gpus,
    params:
        flags=flags("collect_router_data"),
        code=code("collect_router_data"),
    shell:
        "python workflow_scripts/collect_router_data.py {params.flags} --model {input.folder:q}"
        " --gate-weights {input.weights:q} --samples {input.samples:q} --dataset {wildcards.dataset}"
        " --shard {wildcards.shard} --num-shards {wildcards.num_shards} --output {output.shard:q}"
        " --ledger {output.ledger:q} --num-gpus {resources.gpu}"
        " --state-dir results/.state/collect_router_data > {log:q} 2>&1"


rule merge_router_data:
    """Join the shards of one dataset, samples sorted by id."""
    input:
        shards=shard_files,
    output:
        router_data="results/router_data/{dataset}_router_data.pt",
    log:
        "logs/merge_router_data/{dataset}.log",
    benchmark:
        "results/benchmarks/merge_router_data/{dataset}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code("merge_router_data"),
    shell:
        "python workflow_scripts/merge_router_data.py --shards {input.shards:q}"
        " --output {output.router_data:q} > {log:q} 2>&1"

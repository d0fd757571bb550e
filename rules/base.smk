"""The built-in model: a small Qwen3 from scratch.

REQUIRED INPUTS: results/demo/base_corpus.jsonl, results/tokenizer/{model}/.
OUTPUTS: results/base/{model}/final_model/ and results/base/{model}/training_log.json.
"""


rule train_base_model:
    """Train a small Qwen3 from scratch on the base corpus."""
    input:
        samples="results/demo/base_corpus.jsonl",
        tokenizer="results/tokenizer/{model}/tokenizer.json",
        tokenizer_config="results/tokenizer/{model}/tokenizer_config.json",
        chat_template="results/tokenizer/{model}/chat_template.jinja",
    output:
        model=directory("results/base/{model}/final_model"),
        training_log="results/base/{model}/training_log.json",
    log:
        "logs/train_base_model/{model}.log",
    benchmark:
        "results/benchmarks/train_base_model/{model}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=0,
    params:
        flags=flags("train_base_model"),
        code=code("train_base_model"),
    shell:
        "python workflow_scripts/train_base_model.py {params.flags}"
        " --samples {input.samples:q} --tokenizer results/tokenizer/{wildcards.model:q}"
        " --output {output.model:q} --training-log {output.training_log:q}"
        " --state results/.state/train_base_model/{wildcards.model:q} > {log:q} 2>&1"

"""The built-in model's tokenizer.

REQUIRED INPUTS: results/demo/base_corpus.jsonl, resources/tokenizer/chat_template.jinja.
OUTPUTS: results/tokenizer/{tokenizer}/ with tokenizer.json, tokenizer_config.json and
    chat_template.jinja.
"""


rule train_tokenizer:
    """Train byte-level BPE with chat and think tokens on the base corpus."""
    input:
        samples="results/demo/base_corpus.jsonl",
        chat_template="resources/tokenizer/chat_template.jinja",
    output:
        tokenizer="results/tokenizer/{tokenizer}/tokenizer.json",
        config="results/tokenizer/{tokenizer}/tokenizer_config.json",
        chat_template="results/tokenizer/{tokenizer}/chat_template.jinja",
    log:
        "logs/train_tokenizer/{tokenizer}.log",
    benchmark:
        "results/benchmarks/train_tokenizer/{tokenizer}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        flags=flags("train_tokenizer"),
        code=code("train_tokenizer"),
    shell:
        "python workflow_scripts/train_tokenizer.py {params.flags}"
        " --samples {input.samples:q} --chat-template {input.chat_template:q}"
        " --folder results/tokenizer/{wildcards.tokenizer:q} > {log:q} 2>&1"

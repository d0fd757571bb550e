"""Models from scratch: the built-in one on samples, or any Qwen3 on text of one's own.

REQUIRED INPUTS: results/tokenizer/{model}/, and results/demo/base_corpus.jsonl or what `base.text`
    and `base.heldout_text` name.
OUTPUTS: results/base/{model}/{final_model/,training_log.json,loss_curve.png}, and of text
    results/base/{model}/corpus/.
"""


rule tokenize_corpus:
    """Tokenise the text that a base model learns from, and hold some documents out."""
    input:
        text=text_files([*settings.base.text, *settings.base.heldout_text]),
        tokenizer="results/tokenizer/{model}/tokenizer.json",
        tokenizer_config="results/tokenizer/{model}/tokenizer_config.json",
        chat_template="results/tokenizer/{model}/chat_template.jinja",
    output:
        corpus=directory("results/base/{model}/corpus"),
    log:
        "logs/tokenize_corpus/{model}.log",
    benchmark:
        "results/benchmarks/tokenize_corpus/{model}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=720,
    params:
        flags=flags("tokenize_corpus"),
        text=text_flags(text=settings.base.text, heldout_text=settings.base.heldout_text),
        code=code("tokenize_corpus"),
    shell:
        "python workflow_scripts/tokenize_corpus.py {params.flags} {params.text}"
        " --tokenizer results/tokenizer/{wildcards.model:q} --output {output.corpus:q}"
        " --state results/.state/tokenize_corpus/{wildcards.model:q} > {log:q} 2>&1"


rule train_base_model:
    """Train a Qwen3 from scratch on the base corpus, or on tokenised text."""
    input:
        source=base_source,
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
        gpu=base_gpus,
    params:
        flags=flags("train_base_model"),
        kind="corpus" if settings.base.text else "samples",
        code=code("train_base_model"),
    shell:
        "python workflow_scripts/train_base_model.py {params.flags}"
        " --{params.kind} {input.source:q} --tokenizer results/tokenizer/{wildcards.model:q}"
        " --output {output.model:q} --training-log {output.training_log:q}"
        " --num-gpus {resources.gpu} --min-threads 2"
        " --state results/.state/train_base_model/{wildcards.model:q} > {log:q} 2>&1"

"""The tokenizer of the built-in model, or of a text of one's own, and what it is worth.

REQUIRED INPUTS: the texts of `tokenizer:` (results/demo/base_corpus.jsonl and heldout_*.jsonl),
    resources/tokenizer/chat_template.jinja, resources/tokenizer/domains/*.txt.
OUTPUTS: results/tokenizer/{tokenizer}/ with tokenizer.json, tokenizer_config.json,
    chat_template.jinja, evaluation.csv and evaluation.png.
"""

DOMAIN_FILES = sorted(map(str, Path("resources/tokenizer/domains").glob("*.txt")))


rule train_tokenizer:
    """Train byte-level BPE with chat and think tokens."""
    input:
        text=text_files(settings.tokenizer.text),
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
        text=text_flags(text=settings.tokenizer.text),
        code=code("train_tokenizer"),
    shell:
        "python workflow_scripts/train_tokenizer.py {params.flags} {params.text}"
        " --chat-template {input.chat_template:q}"
        " --folder results/tokenizer/{wildcards.tokenizer:q} > {log:q} 2>&1"


rule evaluate_tokenizer:
    """Measure a tokenizer's compression and exactness by domain, beside others."""
    input:
        tokenizer="results/tokenizer/{tokenizer}/tokenizer.json",
        config="results/tokenizer/{tokenizer}/tokenizer_config.json",
        domains=DOMAIN_FILES,
        texts=text_files(
            [
                *settings.tokenizer.domains,
                *settings.tokenizer.text,
                *settings.tokenizer.unseen_text,
            ]
        ),
    output:
        table=report(
            "results/tokenizer/{tokenizer}/evaluation.csv",
            caption="../resources/report/captions/tokenizers.rst",
            category="Tokenizer",
        ),
        picture=report(
            "results/tokenizer/{tokenizer}/evaluation.png",
            caption="../resources/report/captions/tokenizers.rst",
            category="Tokenizer",
        ),
    log:
        "logs/evaluate_tokenizer/{tokenizer}.log",
    benchmark:
        "results/benchmarks/evaluate_tokenizer/{tokenizer}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=flags("evaluate_tokenizer"),
        texts=text_flags(
            own_domains=settings.tokenizer.domains,
            train_text=settings.tokenizer.text,
            unseen_text=settings.tokenizer.unseen_text,
        ),
        code=code("evaluate_tokenizer"),
    shell:
        "python workflow_scripts/evaluate_tokenizer.py {params.flags} {params.texts}"
        " --tokenizer results/tokenizer/{wildcards.tokenizer:q} --domains {input.domains:q}"
        " --table {output.table:q} --picture {output.picture:q} > {log:q} 2>&1"

"""Bits per byte and samples of every model of `models:`.

REQUIRED INPUTS: results/base/{model}/final_model/ or the checkpoint that `models:` names, and the
    texts and prompts of `base_loss:`.
OUTPUTS: results/base/{model}/loss.json and loss_samples.txt.
"""


rule evaluate_base_loss:
    """Measure a model's bits per byte on train and held-out text; let it continue prompts."""
    input:
        model=model_files,
        train_text=text_files(settings.base_loss.train_text),
        heldout_text=text_files(settings.base_loss.heldout_text),
        prompts=settings.base_loss.prompts,
    output:
        loss="results/base/{model}/loss.json",
        samples="results/base/{model}/loss_samples.txt",
    log:
        "logs/evaluate_base_loss/{model}.log",
    benchmark:
        "results/benchmarks/evaluate_base_loss/{model}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=base_loss_gpus,
    params:
        flags=flags("evaluate_base_loss"),
        source=model_flags,
        texts=text_flags(
            train_text=settings.base_loss.train_text,
            heldout_text=settings.base_loss.heldout_text,
        ),
        code=code("evaluate_base_loss"),
    shell:
        "python workflow_scripts/evaluate_base_loss.py {params.flags} {params.source}"
        " {params.texts} --num-gpus {resources.gpu} --min-threads 2"
        " --prompts {input.prompts:q} --output {output.loss:q}"
        " --samples-output {output.samples:q}"
        " --state-dir results/.state/evaluate_base_loss/{wildcards.model:q} > {log:q} 2>&1"

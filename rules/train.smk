"""Adapters: fine-tuned on weighted samples, folded into their base, and their loss curves.

REQUIRED INPUTS: the samples that `adapters:` names, and results/base/{model}/final_model/ or the
    checkpoint that `models:` names.
OUTPUTS: results/adapters/{adapter}/{final_model/,metrics.json,logs/,loss_curve.png},
    results/merged/{adapter}/, results/base/{model}/loss_curve.png
"""


rule fine_tune:
    """Fine-tune a model on weighted samples; keep the checkpoint of the lowest eval loss."""
    input:
        samples=adapter_samples,
        model=adapter_base_files,
    output:
        model=directory("results/adapters/{adapter}/final_model"),
        metrics="results/adapters/{adapter}/metrics.json",
        logs=directory("results/adapters/{adapter}/logs"),
        ledger="results/adapters/{adapter}/samples.ledger.json",
        rejected="results/adapters/{adapter}/samples.rejected.jsonl",
    log:
        "logs/fine_tune/{adapter}.log",
    benchmark:
        "results/benchmarks/fine_tune/{adapter}.tsv"
    retries: 1
    conda:
        "../envs/train.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=720,
        gpu=adapter_gpus,
    params:
        flags=adapter_flags,
        source=adapter_base_flags,
        folder="results/adapters/{adapter}",
        state="results/.state/fine_tune/{adapter}",
        code=code("fine_tune"),
    shell:
        "python workflow_scripts/fine_tune.py {params.flags} {params.source}"
        " --samples {input.samples:q} --output {params.folder:q} --state-dir {params.state:q}"
        " --num-gpus {resources.gpu} --min-threads 2 > {log:q} 2>&1"


rule merge_adapter:
    """Fold an adapter into its base, in the base's precision, and prove that outputs agree."""
    input:
        adapter="results/adapters/{adapter}/final_model",
        model=adapter_base_files,
    output:
        folder=directory("results/merged/{adapter}"),
    log:
        "logs/merge_adapter/{adapter}.log",
    benchmark:
        "results/benchmarks/merge_adapter/{adapter}.tsv"
    retries: 1
    conda:
        "../envs/train.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        flags=flags("merge_adapter"),
        source=adapter_base_flags,
        code=code("merge_adapter"),
    shell:
        "python workflow_scripts/merge_adapter.py {params.flags} {params.source}"
        " --adapter {input.adapter:q} --output {output.folder:q} > {log:q} 2>&1"


rule plot_loss_curve:
    """Draw the loss of every step and of every evaluation."""
    input:
        metrics="results/adapters/{adapter}/metrics.json",
    output:
        picture=report(
            "results/adapters/{adapter}/loss_curve.png",
            caption="../resources/report/captions/loss_curve.rst",
            category="Training",
        ),
    log:
        "logs/plot_loss_curve/{adapter}.log",
    benchmark:
        "results/benchmarks/plot_loss_curve/{adapter}.tsv"
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("plot_loss_curve"),
    shell:
        "python workflow_scripts/plot_loss_curve.py --metrics {input.metrics:q}"
        " --picture {output.picture:q} > {log:q} 2>&1"


use rule plot_loss_curve as plot_base_loss_curve with:
    input:
        metrics="results/base/{model}/training_log.json",
    output:
        picture=report(
            "results/base/{model}/loss_curve.png",
            caption="../resources/report/captions/base_loss.rst",
            category="Training",
        ),
    log:
        "logs/plot_loss_curve/base/{model}.log",
    benchmark:
        "results/benchmarks/plot_loss_curve/base/{model}.tsv"

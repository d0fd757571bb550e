"""Pictures of the scores.

REQUIRED INPUTS: results/scores/{dataset}.parquet, and the truth of datasets that name one.
OUTPUTS: results/report/{score_distributions,score_by_flaw,layer_heatmap}.png
"""


rule plot_score_distributions:
    """Draw the distribution of each score, one line per dataset."""
    input:
        scores=expand("results/scores/{dataset}.parquet", dataset=DATASETS),
    output:
        picture=report(
            "results/report/score_distributions.png",
            caption="../resources/report/captions/score_distributions.rst",
            category="Scores",
        ),
    log:
        "logs/plot_score_distributions.log",
    benchmark:
        "results/benchmarks/plot_score_distributions.tsv"
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("plot_score_distributions"),
    shell:
        "python workflow_scripts/plot_score_distributions.py --scores {input.scores:q}"
        " --picture {output.picture:q} > {log:q} 2>&1"


rule plot_score_by_flaw:
    """Draw scores by flaw kind, where the truth is known."""
    input:
        scores=expand("results/scores/{dataset}.parquet", dataset=LABELLED),
        truths=truth_files(LABELLED),
    output:
        picture=report(
            "results/report/score_by_flaw.png",
            caption="../resources/report/captions/score_by_flaw.rst",
            category="Scores",
        ),
    log:
        "logs/plot_score_by_flaw.log",
    benchmark:
        "results/benchmarks/plot_score_by_flaw.tsv"
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("plot_score_by_flaw"),
    shell:
        "python workflow_scripts/plot_score_by_flaw.py --scores {input.scores:q}"
        " --truths {input.truths:q} --picture {output.picture:q} > {log:q} 2>&1"


rule plot_layer_heatmap:
    """Draw the mean gate score of every layer, by flaw kind or by dataset."""
    input:
        scores=expand("results/scores/{dataset}.parquet", dataset=DATASETS),
        truths=truth_files(DATASETS) if LABELLED == DATASETS else [],
    output:
        picture=report(
            "results/report/layer_heatmap.png",
            caption="../resources/report/captions/layer_heatmap.rst",
            category="Scores",
        ),
    log:
        "logs/plot_layer_heatmap.log",
    benchmark:
        "results/benchmarks/plot_layer_heatmap.tsv"
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("plot_layer_heatmap"),
    shell:
        "python workflow_scripts/plot_layer_heatmap.py --scores {input.scores:q}"
        " --truths {input.truths:q} --picture {output.picture:q} > {log:q} 2>&1"

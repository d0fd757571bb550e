"""What the scores are worth where the truth is known, and what the run did.

REQUIRED INPUTS: results/scores/{dataset}.parquet, results/selected/{dataset}.jsonl, every ledger,
    the truth of datasets that name one, and for the page all that rules/common_report.smk lists.
OUTPUTS: results/report/{score_auroc.csv,clean_share.csv,summary.txt,report.html}
"""


rule evaluate_scores:
    """Measure scores against a known truth: AUROC by flaw kind, clean share of the best."""
    input:
        scores=expand("results/scores/{dataset}.parquet", dataset=LABELLED),
        truths=truth_files(LABELLED),
        selected=expand("results/selected/{dataset}.jsonl", dataset=LABELLED),
        random=expand("results/random/{dataset}.jsonl", dataset=LABELLED),
    output:
        auroc=report(
            "results/report/score_auroc.csv",
            caption="../resources/report/captions/score_auroc.rst",
            category="Scores",
        ),
        clean_share=report(
            "results/report/clean_share.csv",
            caption="../resources/report/captions/clean_share.rst",
            category="Scores",
        ),
    log:
        "logs/evaluate_scores.log",
    benchmark:
        "results/benchmarks/evaluate_scores.tsv"
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("evaluate_scores"),
    shell:
        "python workflow_scripts/evaluate_scores.py --scores {input.scores:q}"
        " --truths {input.truths:q} --selected {input.selected:q} --random {input.random:q}"
        " --auroc {output.auroc:q} --clean-share {output.clean_share:q} > {log:q} 2>&1"


rule write_summary:
    """Write what the run did as a page of text; no row may be lost between steps."""
    input:
        ledgers=ledger_files,
        selected="results/selected_data.jsonl",
        clean_share=["results/report/clean_share.csv"] if LABELLED else [],
        files=report_files(),
    output:
        summary=report(
            "results/report/summary.txt",
            caption="../resources/report/captions/summary.rst",
            category="Summary",
        ),
    log:
        "logs/write_summary.log",
    benchmark:
        "results/benchmarks/write_summary.tsv"
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("write_summary"),
    shell:
        "python workflow_scripts/write_summary.py --ledgers {input.ledgers:q}"
        " --selected {input.selected:q} --files {input.files:q}"
        " --clean-share {input.clean_share:q} --output {output.summary:q} > {log:q} 2>&1"


rule write_report:
    """Write what the run did as one page of HTML that needs no network and no other file."""
    input:
        unpack(report_artifacts),
        template="resources/report/page.html.jinja",
        parts=report_templates(),
    output:
        page=report(
            "results/report/report.html",
            caption="../resources/report/captions/page.rst",
            category="Summary",
        ),
    log:
        "logs/write_report.log",
    benchmark:
        "results/benchmarks/write_report.tsv"
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        flags=flags("write_report"),
        artifacts=artifact_flags,
        configuration=configuration,
        code=code("write_report"),
    shell:
        "python workflow_scripts/write_report.py {params.flags} {params.artifacts}"
        " --configuration {params.configuration:q} --template {input.template:q}"
        " --output {output.page:q} > {log:q} 2>&1"

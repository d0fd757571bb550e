"""Finished results as runs of MLflow, where `tracking.enabled` asks for it.

REQUIRED INPUTS: all that rules/common_report.smk lists.
OUTPUTS: results/report/tracked_runs.json; the runs are where `tracking.tracking_uri` says.
"""


rule track_results:
    """Note every finished training, evaluation and turn in MLflow, each once."""
    input:
        unpack(report_artifacts),
    output:
        runs="results/report/tracked_runs.json",
    log:
        "logs/track_results.log",
    benchmark:
        "results/benchmarks/track_results.tsv"
    retries: 1
    conda:
        "../envs/tracking.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=flags("track_results"),
        artifacts=artifact_flags,
        configuration=configuration,
        code=code("track_results"),
    shell:
        "python workflow_scripts/track_results.py {params.flags} {params.artifacts}"
        " --configuration {params.configuration:q} --output {output.runs:q} > {log:q} 2>&1"

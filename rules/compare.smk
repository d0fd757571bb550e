"""Two models or adapters compared item by item.

REQUIRED INPUTS: results/evaluation/{subject}/{suite}.jsonl of both, for every suite.
OUTPUTS: results/comparison/{a}_vs_{b}/
"""


rule compare_models:
    """Compare two subjects over all suites: paired, tested, with intervals and pictures."""
    input:
        first=graded_files("a"),
        second=graded_files("b"),
    output:
        summary=report(
            "results/comparison/{a}_vs_{b}/summary.md",
            caption="../resources/report/captions/comparison.rst",
            category="Comparison",
        ),
        comparison="results/comparison/{a}_vs_{b}/comparison.json",
        table=report(
            "results/comparison/{a}_vs_{b}/comparison.csv",
            caption="../resources/report/captions/comparison.rst",
            category="Comparison",
        ),
        pictures=report(
            expand(
                "results/comparison/{{a}}_vs_{{b}}/{picture}_comparison.png",
                picture=["model", "overall_accuracy", "type_accuracy"],
            ),
            caption="../resources/report/captions/comparison.rst",
            category="Comparison",
        ),
    log:
        "logs/compare_models/{a}_vs_{b}.log",
    benchmark:
        "results/benchmarks/compare_models/{a}_vs_{b}.tsv"
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=flags("compare_models"),
        suites=SUITES,
        code=code("compare_models"),
    shell:
        "python workflow_scripts/compare_models.py {params.flags} --names {wildcards.a:q}"
        " {wildcards.b:q} --suites {params.suites:q} --first {input.first:q}"
        " --second {input.second:q} --folder results/comparison/{wildcards.a:q}_vs_{wildcards.b:q}"
        " > {log:q} 2>&1"

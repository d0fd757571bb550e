"""The built-in world: data that Sluice makes itself, with known flaws.

REQUIRED INPUTS: resources/demo/*.json (word lists).
OUTPUTS: results/demo/{numbers,countries,cases}.jsonl with *.truth.parquet beside them,
    results/demo/heldout_*.jsonl, results/demo/base_corpus.jsonl,
    results/demo/topics_{train,heldout}.jsonl.
"""


rule make_demo_data:
    """Make the built-in datasets, their truth, the base corpus and the held-out sets."""
    input:
        words="resources/demo/words.json",
        numbers="resources/demo/numbers.json",
        countries="resources/demo/countries.json",
        cases="resources/demo/cases.json",
    output:
        numbers="results/demo/numbers.jsonl",
        numbers_truth="results/demo/numbers.truth.parquet",
        numbers_heldout="results/demo/heldout_numbers.jsonl",
        countries="results/demo/countries.jsonl",
        countries_truth="results/demo/countries.truth.parquet",
        countries_heldout="results/demo/heldout_countries.jsonl",
        cases="results/demo/cases.jsonl",
        cases_truth="results/demo/cases.truth.parquet",
        cases_heldout="results/demo/heldout_cases.jsonl",
        corpus="results/demo/base_corpus.jsonl",
        corpus_truth="results/demo/base_corpus.truth.parquet",
    log:
        "logs/make_demo_data.log",
    benchmark:
        "results/benchmarks/make_demo_data.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        flags=flags("make_demo_data"),
        code=code("make_demo_data"),
    shell:
        "python workflow_scripts/make_demo_data.py {params.flags}"
        " --resources resources/demo --folder results/demo > {log:q} 2>&1"


rule make_demo_topics:
    """Make the topics of the built-in flywheel: court cases that no other built-in data has."""
    input:
        resources=expand(
            "resources/demo/{name}.json", name=["words", "numbers", "countries", "cases"]
        ),
        taken=[
            "results/demo/base_corpus.jsonl",
            "results/demo/cases.jsonl",
            "results/demo/heldout_cases.jsonl",
        ],
    output:
        train="results/demo/topics_train.jsonl",
        heldout="results/demo/topics_heldout.jsonl",
    log:
        "logs/make_demo_topics.log",
    benchmark:
        "results/benchmarks/make_demo_topics.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        flags=flags("make_demo_topics"),
        code=code("make_demo_topics"),
    shell:
        "python workflow_scripts/make_demo_topics.py {params.flags} --taken {input.taken:q}"
        " --resources resources/demo --folder results/demo > {log:q} 2>&1"

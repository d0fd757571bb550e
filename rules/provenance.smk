"""Where the final artifacts come from.

REQUIRED INPUTS: what `rule all` asks for, turns and CORE results that are there, and config.yaml with
    every --configfile.
OUTPUTS: results/provenance.json; `workflow_scripts/verify_provenance.py` checks it later.
"""


rule write_provenance:
    """Write every file on the way to the final artifacts, with hash, command, code and time."""
    input:
        targets=final_artifacts(),
        config=[os.path.relpath(file) for file in workflow.configfiles],
    output:
        "results/provenance.json",
    log:
        "logs/write_provenance.log",
    benchmark:
        "results/benchmarks/write_provenance.tsv"
    retries: 0
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        flags=flags("write_provenance"),
        named=named_artifacts,
        code=code("write_provenance"),
    shell:
        "python workflow_scripts/write_provenance.py {params.flags}"
        " --targets {input.targets:q} {params.named}"
        " --config-files {input.config:q} --output {output:q} > {log:q} 2>&1"

"""How far the judges can be trusted: a table and a picture for each turn.

REQUIRED INPUTS: results/flywheel/turn_{turn}/heldout/simulation_data.json, also of the turn before;
    the prompts that `flywheel:` names, resources/demo/cases.json.
OUTPUTS: results/flywheel/turn_{turn}/judge_calibration.{csv,json,png}
"""


rule calibrate_judge:
    """Ask the judges again, in both orders and about answers whose right form is known."""
    input:
        simulation="results/flywheel/turn_{turn}/heldout/simulation_data.json",
        earlier=earlier_dialogues,
        verdict=settings.flywheel.judge_prompt,
        comparison=settings.flywheel.compare_prompt,
        law="resources/demo/cases.json",
    output:
        table=report("results/flywheel/turn_{turn}/judge_calibration.csv", category="Flywheel"),
        numbers="results/flywheel/turn_{turn}/judge_calibration.json",
    log:
        "logs/calibrate_judge/turn_{turn}.log",
    benchmark:
        "results/benchmarks/calibrate_judge/turn_{turn}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        flags=flags("calibrate_judge"),
        judges=judges_flags,
        untracked=judges_untracked,
        generator=generator_flags,
        earlier=earlier_flags,
        code=code("calibrate_judge"),
    shell:
        "python workflow_scripts/calibrate_judge.py {params.flags} {params.judges}"
        " {params.untracked} {params.generator} {params.earlier} --simulation {input.simulation:q}"
        " --judge-prompt {input.verdict:q} --compare-prompt {input.comparison:q}"
        " --law {input.law:q} --output {output.table:q} > {log:q} 2>&1"


rule plot_judge_calibration:
    """Draw how far the judges can be trusted."""
    input:
        numbers="results/flywheel/turn_{turn}/judge_calibration.json",
    output:
        picture=report("results/flywheel/turn_{turn}/judge_calibration.png", category="Flywheel"),
    log:
        "logs/plot_judge_calibration/turn_{turn}.log",
    benchmark:
        "results/benchmarks/plot_judge_calibration/turn_{turn}.tsv"
    retries: 1
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code("plot_judge_calibration"),
    shell:
        "python workflow_scripts/plot_judge_calibration.py --calibration {input.numbers:q}"
        " --picture {output.picture:q} > {log:q} 2>&1"

"""A turn behind its dialogues: what is kept, learnt, merged, compared; how far judges are trusted.

REQUIRED INPUTS: results/flywheel/turn_{turn}/{train,heldout}/{simulation_data,evaluation_results}.json
    (rules/flywheel.smk), and the model that the turn before ended with.
OUTPUTS: results/flywheel/turn_{turn}/{sft_train.jsonl,adapter/,merged/,summary.json,
    judge_calibration.{csv,json,png}}
"""


rule prepare_sft_data:
    """Keep the good exchanges of a turn: each once, and without text of the evaluation."""
    input:
        simulation="results/flywheel/turn_{turn}/train/simulation_data.json",
        evaluation="results/flywheel/turn_{turn}/train/evaluation_results.json",
        held_out="results/flywheel/turn_0/heldout/simulation_data.json",
        held_out_topics=settings.flywheel.heldout_topics,
        texts=settings.data.evaluation_texts,
    output:
        samples="results/flywheel/turn_{turn}/sft_train.jsonl",
        rejected="results/flywheel/turn_{turn}/sft_train.rejected.jsonl",
        ledger="results/flywheel/turn_{turn}/sft_train.ledger.json",
        shift="results/flywheel/turn_{turn}/sft_train.shift.json",
    log:
        "logs/prepare_sft_data/turn_{turn}.log",
    benchmark:
        "results/benchmarks/prepare_sft_data/turn_{turn}.tsv"
    wildcard_constraints:
        turn="[1-9][0-9]*",
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        flags=flags("prepare_sft_data"),
        code=code("prepare_sft_data"),
    shell:
        "python workflow_scripts/prepare_sft_data.py {params.flags}"
        " --simulation {input.simulation:q} --evaluation {input.evaluation:q}"
        " --held-out {input.held_out:q} --held-out-topics {input.held_out_topics:q}"
        " --dataset turn_{wildcards.turn} --output {output.samples:q} > {log:q} 2>&1"


use rule fine_tune as fine_tune_turn with:
    input:
        samples="results/flywheel/turn_{turn}/sft_train.jsonl",
        model=learner_files,
    output:
        model=directory("results/flywheel/turn_{turn}/adapter/final_model"),
        metrics="results/flywheel/turn_{turn}/adapter/metrics.json",
        logs=directory("results/flywheel/turn_{turn}/adapter/logs"),
        ledger="results/flywheel/turn_{turn}/adapter/samples.ledger.json",
        rejected="results/flywheel/turn_{turn}/adapter/samples.rejected.jsonl",
    log:
        "logs/fine_tune/turn_{turn}.log",
    benchmark:
        "results/benchmarks/fine_tune/turn_{turn}.tsv"
    wildcard_constraints:
        turn="[1-9][0-9]*",
    resources:
        mem_mb=8000,
        runtime=720,
        gpu=turn_gpus,
    params:
        flags=turn_adapter_flags,
        source=learner_flags,
        folder="results/flywheel/turn_{turn}/adapter",
        state="results/.state/fine_tune/turn_{turn}",
        code=code("fine_tune"),


use rule merge_adapter as merge_turn with:
    input:
        adapter="results/flywheel/turn_{turn}/adapter/final_model",
        model=learner_files,
    output:
        folder=directory("results/flywheel/turn_{turn}/merged"),
    log:
        "logs/merge_adapter/turn_{turn}.log",
    benchmark:
        "results/benchmarks/merge_adapter/turn_{turn}.tsv"
    wildcard_constraints:
        turn="[1-9][0-9]*",
    params:
        flags=flags("merge_adapter"),
        source=learner_flags,
        code=code("merge_adapter"),


rule summarize_turn:
    """Compare a turn with those before, on the same held-out topics; a shown loss stops the wheel."""
    input:
        simulations=held_out_files("simulation_data.json"),
        evaluations=held_out_files("evaluation_results.json"),
        training=training_files,
    output:
        summary="results/flywheel/turn_{turn}/summary.json",
    log:
        "logs/summarize_turn/turn_{turn}.log",
    benchmark:
        "results/benchmarks/summarize_turn/turn_{turn}.tsv"
    retries: 0  # the same verdicts show the same loss
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        flags=flags("summarize_turn"),
        training=training_flags,
        code=code("summarize_turn"),
    shell:
        "python workflow_scripts/summarize_turn.py {params.flags} {params.training}"
        " --simulations {input.simulations:q} --evaluations {input.evaluations:q}"
        " --output {output.summary:q} > {log:q} 2>&1"

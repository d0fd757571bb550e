"""A turn of the flywheel, first half: the model is served, talks with simulated users, is judged.

REQUIRED INPUTS: topics that `flywheel:` in config.yaml names, results/base/{model}/final_model or the
    model of the turn before, resources/flywheel/*.txt, resources/demo/cases.json.
OUTPUTS: results/flywheel/turn_{turn}/bootstrap.json,
    results/flywheel/turn_{turn}/{part}/{simulation_data,evaluation_results}.json
"""


rule bootstrap_model:
    """Prove that the model of a turn can be served; record versions, settings and latencies."""
    input:
        model=served_model_files,
        question="resources/flywheel/smoke_v1.txt",
        system=system_prompt_files(),
    output:
        bootstrap="results/flywheel/turn_{turn}/bootstrap.json",
    log:
        "logs/bootstrap_model/turn_{turn}.log",
    benchmark:
        "results/benchmarks/bootstrap_model/turn_{turn}.tsv"
    wildcard_constraints:
        turn=turns_with("transformers", "auto"),
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=60,
        gpu=server_gpus,
    params:
        flags=flags("bootstrap_model"),
        model=served_model_flags,
        untracked=untracked("bootstrap_model"),
        code=code("bootstrap_model"),
    shell:
        "python workflow_scripts/bootstrap_model.py {params.flags} {params.model}"
        " {params.untracked} --question {input.question:q} --output {output.bootstrap:q}"
        " --server-log results/.state/bootstrap_model/turn_{wildcards.turn}/server.log"
        " --num-gpus {resources.gpu} --min-threads 2 > {log:q} 2>&1"


# As in rules/sampling.smk: vLLM has an environment of its own.
use rule bootstrap_model as bootstrap_model_with_vllm with:
    wildcard_constraints:
        turn=turns_with("vllm"),
    conda:
        "../envs/vllm.yaml"
    resources:
        mem_mb=32000,
        runtime=60,
        gpu=server_gpus,


rule simulate_dialogues:
    """Let the model of a turn talk with simulated users about the topics of a part."""
    input:
        model=dialogue_model_files,
        leave=leave_to_go_on,
        topics=topics_of,
        prompt=settings.flywheel.user_prompt,
        law="resources/demo/cases.json",
        system=system_prompt_files(),
    output:
        simulation="results/flywheel/turn_{turn}/{part}/simulation_data.json",
    log:
        "logs/simulate_dialogues/turn_{turn}.{part}.log",
    benchmark:
        "results/benchmarks/simulate_dialogues/turn_{turn}.{part}.tsv"
    wildcard_constraints:
        turn=turns_with("transformers", "auto"),
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=720,
        gpu=server_gpus,
    params:
        flags=flags("simulate_dialogues"),
        model=dialogue_model_flags,
        simulator=simulator_flags,
        untracked=simulation_untracked,
        topics=topic_flags,
        code=code("simulate_dialogues"),
    shell:
        "python workflow_scripts/simulate_dialogues.py {params.flags} {params.model}"
        " {params.simulator} {params.untracked} {params.topics} --topics {input.topics:q}"
        " --user-prompt {input.prompt:q} --law {input.law:q} --output {output.simulation:q}"
        " --state-dir results/.state/simulate_dialogues --num-gpus {resources.gpu} --min-threads 2"
        " > {log:q} 2>&1"


use rule simulate_dialogues as simulate_dialogues_with_vllm with:
    wildcard_constraints:
        turn=turns_with("vllm"),
    conda:
        "../envs/vllm.yaml"
    resources:
        mem_mb=32000,
        runtime=720,
        gpu=server_gpus,


rule judge_responses:
    """Score every answer: the judge those that may be learnt from, the evaluator the held-out."""
    input:
        simulation="results/flywheel/turn_{turn}/{part}/simulation_data.json",
        prompt=settings.flywheel.judge_prompt,
        law="resources/demo/cases.json",
    output:
        verdicts="results/flywheel/turn_{turn}/{part}/evaluation_results.json",
    log:
        "logs/judge_responses/turn_{turn}.{part}.log",
    benchmark:
        "results/benchmarks/judge_responses/turn_{turn}.{part}.tsv"
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=720,
    params:
        flags=flags("judge_responses"),
        judge=judge_flags,
        untracked=judge_untracked,
        generator=generator_flags,
        code=code("judge_responses"),
    shell:
        "python workflow_scripts/judge_responses.py {params.flags} {params.judge}"
        " {params.untracked} {params.generator}"
        " --simulation {input.simulation:q} --judge-prompt {input.prompt:q} --law {input.law:q}"
        " --output {output.verdicts:q} > {log:q} 2>&1"

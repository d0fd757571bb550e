"""A model's own completions of verifiable prompts, graded; the correct ones with their counts.

REQUIRED INPUTS: the models and prompts that `tasks:` in config.yaml names.
OUTPUTS: results/sampled/{task}/{sampled_data.json,accepted.jsonl,completions.jsonl,
    sampling_stats.json,sampled_data.ledger.json,sampled_data.rejected.jsonl}
"""


rule sample_responses:
    """Sample completions of every prompt of a task, grade them, keep the correct ones."""
    input:
        model=task_model_files,
        prompts=task_prompts,
    output:
        sampled="results/sampled/{task}/sampled_data.json",
        accepted="results/sampled/{task}/accepted.jsonl",
        completions="results/sampled/{task}/completions.jsonl",
        statistics="results/sampled/{task}/sampling_stats.json",
        ledger="results/sampled/{task}/sampled_data.ledger.json",
        rejected="results/sampled/{task}/sampled_data.rejected.jsonl",
    log:
        "logs/sample_responses/{task}.log",
    benchmark:
        "results/benchmarks/sample_responses/{task}.tsv"
    wildcard_constraints:
        task=tasks_of("transformers", "openai"),
    retries: 1
    conda:
        "../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=480,
        gpu=task_gpus,
    params:
        flags=flags("sample_responses"),
        task=task_flags,
        untracked=task_untracked,
        code=code("sample_responses"),
    shell:
        "python workflow_scripts/sample_responses.py {params.flags} {params.task}"
        " {params.untracked} --training_data {input.prompts:q} --output {output.sampled:q}"
        " --num-gpus {resources.gpu} --min-threads 2"
        " --state-dir results/.state/sample_responses > {log:q} 2>&1"


# vLLM's torch is not the trainer's: its tasks run the same script in an environment of their own.
use rule sample_responses as sample_responses_with_vllm with:
    wildcard_constraints:
        task=tasks_of("vllm"),
    conda:
        "../envs/vllm.yaml"
    resources:
        mem_mb=32000,
        runtime=1440,
        gpu=task_gpus,

"""How many GPUs there are, how many of them a step uses, and what to do when a cluster refuses.

REQUIRED INPUTS: rules/common.smk before it.
OUTPUTS: none; defines `gpus_of_engine`, `gate_gpus` and `show_hints`, and the resource `gpu` of a
    local run.
"""

from sluice.run_hints import run_hints
from sluice.devices import find_gpus

# A cluster hands out GPUs itself. On one machine there are as many as it has, unless --resources
# gpu=N says otherwise. A rule that asks for more is given what there is, 0 on a machine without.
if (
    workflow.is_main_process
    and workflow.resource_settings.nodes is None
    and "gpu" not in workflow.resource_settings.resources
):
    workflow.register_resource("gpu", len(find_gpus()))


def gpus_of_engine(engine):
    """How many GPUs an engine uses; a server brings its own."""
    if engine.engine == "openai" or engine.device == "cpu":
        return 0
    return engine.tensor_parallel_size if engine.engine == "vllm" else 1


def base_gpus(wildcards):
    """How many GPUs base training uses; the small built-in model needs none."""
    return settings.base.num_processes if settings.base.text else 0


def base_loss_gpus(wildcards):
    """How many GPUs the measuring of bits per byte uses."""
    return 0 if settings.base_loss.device == "cpu" else 1


def gate_gpus(wildcards):
    """How many GPUs a pass of the scoring model uses."""
    return 0 if settings.gate.device == "cpu" else 1


def show_hints(logs):
    """Says what to do about failures that the cluster reported; `logs` are Snakemake's own."""
    text = "".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    for hint in run_hints(text):
        sys.stderr.write(f"{hint}\n")

"""Evaluates a base model on the CORE metric: 22 tasks, centred on guessing, with intervals.

python workflow_scripts/evaluate_core.py --bundle eval_bundle --model Qwen/Qwen3-0.6B-Base \
    --table core.csv
"""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.core_metric import EvaluateCore
from sluice.settings.device import ComputeShare


class Arguments(EvaluateCore, ComputeShare):
    """Evaluate a base model on the CORE metric."""

    model: Annotated[str, arg(aliases=["--hf-path"])]
    """Folder or hub id of a causal language model."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ...; auto takes a GPU where there is one."""
    table: Path
    """Table to write, CSV: a row a task, then CORE_v1 and CORE_v2; shares from 0 to 1."""
    items: Path | None = None
    """Every item's decision and losses, JSON Lines to write."""
    state_dir: Path = Path("results/.state/evaluate_core")
    """Where an interrupted run keeps its decisions."""


def main(arguments: Arguments) -> None:
    """Evaluates and writes."""
    from sluice.core_metric.runs import evaluate_core
    from sluice.devices import take_gpus

    take_gpus(arguments.num_gpus, device=arguments.device)
    evaluate_core(
        arguments.model,
        revision=arguments.revision,
        device=arguments.device,
        settings=narrow(arguments, EvaluateCore),
        table=arguments.table,
        items=arguments.items,
        state_root=arguments.state_dir,
    )


if __name__ == "__main__":
    run(Arguments, main)

"""Trains the gates of a converted model; the model itself stays as it is.

python workflow_scripts/warm_up_gate.py --model gated --samples train.jsonl --output gates.pt
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.device import ComputeShare
from sluice.settings.gate import WarmUpGate


class Arguments(WarmUpGate, ComputeShare):
    """Warm up quality gates on real samples and flawed copies of them."""

    model: Path
    """Folder of convert_checkpoint."""
    samples: tuple[Path, ...]
    """Canonical samples, JSONL; several files are taken together."""
    output: Path
    """Gate weights to write."""
    training_log: Path
    """Loss of every step, JSON, to write."""
    state_dir: Path = Path("results/.state/warm_up_gate")
    """Where progress is kept until the gates are written."""


def main(arguments: Arguments) -> None:
    """Trains, and writes weights and losses."""
    from sluice.devices import take_gpus
    from sluice.gate.runs import run_warm_up

    take_gpus(arguments.num_gpus, device=arguments.device)
    run_warm_up(
        arguments.model,
        arguments.samples,
        settings=narrow(arguments, WarmUpGate),
        output=arguments.output,
        training_log=arguments.training_log,
        state_root=arguments.state_dir,
    )


if __name__ == "__main__":
    run(Arguments, main)

"""Starts a model's server, waits until it is healthy, asks it a question, and records both.

python workflow_scripts/bootstrap_model.py --model_path my_model --output bootstrap.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.device import ComputeShare
from sluice.settings.flywheel import BootstrapModel


class Arguments(BootstrapModel, ComputeShare):
    """Prove that a model can be served."""

    model_path: str
    """Folder or hub id of the model."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    question: Path = Path("resources/flywheel/smoke_v1.txt")
    """Text file with the smoke question."""
    output: Path = Path("bootstrap.json")
    """JSON to write: versions, settings, time to start, answer, first-token and total latency."""
    server_log: Path = Path("results/.state/bootstrap_model/server.log")
    """Where the server's own words go."""


def main(arguments: Arguments) -> None:
    """Serves, asks, writes."""
    from sluice.devices import take_gpus
    from sluice.flywheel.bootstrapping import bootstrap_model

    take_gpus(arguments.num_gpus, device=arguments.server_device)
    bootstrap_model(
        arguments.model_path,
        revision=arguments.revision,
        settings=narrow(arguments, BootstrapModel),
        question=arguments.question,
        output=arguments.output,
        log_path=arguments.server_log,
    )


if __name__ == "__main__":
    run(Arguments, main)

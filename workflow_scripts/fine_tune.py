"""Fine-tunes a model on weighted samples: LoRA, QLoRA or all weights.

python workflow_scripts/fine_tune.py --model Qwen/Qwen3-1.7B --samples accepted.jsonl \
    --output adapters/mine --method qlora --max-length 2048
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.device import ComputeShare
from sluice.settings.training import FineTune


class Arguments(FineTune, ComputeShare):
    """Fine-tune a model on canonical samples."""

    model: str
    """Hub id or folder of the model that is trained."""
    samples: tuple[Path, ...]
    """Canonical samples, JSONL; `weight` and `group` are optional."""
    output: Path
    """Folder for final_model/, metrics.json, logs/, the ledger; an earlier training's go."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    trust_remote_code: bool = False
    """Run Python code that the model's repository ships."""
    state_dir: Path = Path("results/.state/fine_tune")
    """Where an interrupted run keeps its checkpoints."""


def main(arguments: Arguments) -> None:
    """Trains, on one process or on several, and writes the result."""
    from sluice.devices import take_gpus
    from sluice.training.launching import relaunch

    take_gpus(arguments.num_gpus)
    if relaunch(arguments):
        return
    from sluice.training.adapters import BaseModel
    from sluice.training.results import Outputs
    from sluice.training.runs import fine_tune

    fine_tune(
        BaseModel(arguments.model, arguments.revision, arguments.trust_remote_code),
        arguments.samples,
        narrow(arguments, FineTune),
        outputs=Outputs(
            model=arguments.output / "final_model",
            metrics=arguments.output / "metrics.json",
            logs=arguments.output / "logs",
            ledger=arguments.output / "samples.ledger.json",
            rejected=arguments.output / "samples.rejected.jsonl",
        ),
        state_root=arguments.state_dir,
    )


if __name__ == "__main__":
    run(Arguments, main)

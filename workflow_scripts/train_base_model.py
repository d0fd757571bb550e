"""Trains a Qwen3 from scratch, on canonical samples or on tokenised text.

Example:
    python workflow_scripts/train_base_model.py --samples results/demo/base_corpus.jsonl \
        --tokenizer results/tokenizer/base --output results/base/base/final_model \
        --training-log results/base/base/training_log.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.base_model import TrainBaseModel
from sluice.settings.device import ComputeShare


class Arguments(TrainBaseModel, ComputeShare):
    """Train a Qwen3 from scratch; give --samples or --corpus."""

    samples: Path | None = None
    """Canonical samples, JSONL; the loss is on their responses."""
    corpus: Path | None = None
    """Folder of tokenize_corpus.py; the loss is on every token."""
    tokenizer: Path
    """Tokenizer folder, from train_tokenizer.py."""
    output: Path
    """Folder for the model, its configuration and its tokenizer."""
    training_log: Path
    """JSON: loss and learning rate of each step, evaluations, parameters, tokens seen."""
    state: Path = Path("results/.state/train_base_model")
    """Where an interrupted run notes its progress."""


def main(arguments: Arguments) -> None:
    """Trains, or goes on with an interrupted training, on one process or several; writes."""
    from sluice.devices import take_gpus
    from sluice.processes import relaunch

    take_gpus(arguments.num_gpus)
    if relaunch(arguments.num_processes):
        return
    from sluice.base.building import build_base_model

    build_base_model(
        narrow(arguments, TrainBaseModel),
        samples_path=arguments.samples,
        corpus_folder=arguments.corpus,
        tokenizer_folder=arguments.tokenizer,
        output=arguments.output,
        log_path=arguments.training_log,
        state_root=arguments.state,
    )


if __name__ == "__main__":
    run(Arguments, main)

"""Trains the built-in model, a small Qwen3 from scratch, on canonical samples.

Example:
    python workflow_scripts/train_base_model.py --samples results/demo/base_corpus.jsonl \
        --tokenizer results/tokenizer/base --output results/base/base/final_model \
        --training-log results/base/base/training_log.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base_model import TrainBaseModel


class Arguments(TrainBaseModel):
    """Train a small Qwen3 from scratch."""

    samples: Path
    """Canonical samples, JSONL."""
    tokenizer: Path
    """Tokenizer folder, from train_tokenizer.py."""
    output: Path
    """Folder for the model, its configuration and its tokenizer."""
    training_log: Path
    """JSON: loss and learning rate of each step, parameters, tokens seen."""
    state: Path = Path("results/.state/train_base_model")
    """Where an interrupted run notes its progress."""


def main(arguments: Arguments) -> None:
    """Trains, or goes on with an interrupted training, and writes the model."""
    from sluice.base.building import build_base_model

    settings = TrainBaseModel(
        **{name: getattr(arguments, name) for name in TrainBaseModel.model_fields}
    )
    build_base_model(
        settings,
        samples_path=arguments.samples,
        tokenizer_folder=arguments.tokenizer,
        output=arguments.output,
        log_path=arguments.training_log,
        state_root=arguments.state,
    )


if __name__ == "__main__":
    run(Arguments, main)

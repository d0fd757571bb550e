"""Bits per byte of a causal language model on train and held-out text, and samples of it.

Examples:
    python workflow_scripts/evaluate_base_loss.py --hf-path openai-community/gpt2 \
        --train-text shards/ --heldout-text heldout.jsonl --output loss.json
    torchrun --nproc-per-node 8 workflow_scripts/evaluate_base_loss.py --hf-path ... (the same)
"""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.base_loss import EvaluateBaseLoss
from sluice.settings.device import ComputeShare


class Arguments(EvaluateBaseLoss, ComputeShare):
    """Bits per byte of a causal language model on train and held-out text, and samples of it."""

    model: Annotated[str, arg(aliases=["--hf-path"])]
    """Folder or hub id of the model."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    train_text: tuple[Path, ...]
    """Text that the model has learnt from: JSONL, Parquet, txt, folders of these, compressed."""
    heldout_text: tuple[Path, ...]
    """Text that it has not seen."""
    prompts: Path = Path("resources/base/prompts_v1.txt")
    """Prompts to continue: one a line of a .txt file, or rows with 'text' or 'messages'."""
    output: Path
    """JSON: bits per byte with intervals, the sums behind them, all samples."""
    samples_output: Path | None = None
    """The samples as text; beside the JSON, ending in _samples.txt, where not given."""
    state_dir: Path = Path("results/.state/evaluate_base_loss")
    """Where an interrupted run keeps its progress."""


def main(arguments: Arguments) -> None:
    """Scores both texts, samples, writes."""
    from sluice.base_loss.running import LossInputs, evaluate_base_loss
    from sluice.devices import take_gpus

    take_gpus(arguments.num_gpus, device=arguments.device)
    texts = {"train": arguments.train_text, "heldout": arguments.heldout_text}
    output = arguments.output
    evaluate_base_loss(
        narrow(arguments, EvaluateBaseLoss),
        LossInputs(arguments.model, arguments.revision, texts, arguments.prompts),
        output=output,
        samples_output=arguments.samples_output or output.with_name(f"{output.stem}_samples.txt"),
        state_root=arguments.state_dir,
    )


if __name__ == "__main__":
    run(Arguments, main)

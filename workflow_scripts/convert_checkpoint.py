"""Converts a checkpoint to one with quality gates, and prints where it is.

python workflow_scripts/convert_checkpoint.py --model Qwen/Qwen3-1.7B --save-path gated
"""

import sys
from pathlib import Path
from typing import Literal

from sluice.cli import run
from sluice.settings.gate import ConvertCheckpoint


class Arguments(ConvertCheckpoint):
    """Add a quality gate to every layer of a Qwen3, Qwen2, Llama or Mistral checkpoint."""

    save_path: Path
    """Folder to make; one that is there is replaced."""
    model: str = "Qwen/Qwen3-1.7B"
    """Hub id or folder of the source checkpoint."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    device: str = "cpu"
    """Where the proof of equality runs: cpu, cuda, cuda:1 ..."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the saved weights; auto keeps the source's."""


def main(arguments: Arguments) -> None:
    """Converts, and prints the absolute path on stdout."""
    from sluice.gate.conversion import convert_checkpoint

    folder = convert_checkpoint(
        arguments.model,
        arguments.save_path,
        shape=arguments,
        seed=arguments.seed,
        revision=arguments.revision,
        device=arguments.device,
        dtype=arguments.dtype,
    )
    sys.stdout.write(f"{folder}\n")


if __name__ == "__main__":
    run(Arguments, main)

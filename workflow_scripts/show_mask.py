"""Prints samples as a model sees them, with what is trained on in colour.

python workflow_scripts/show_mask.py --model Qwen/Qwen3-1.7B --samples accepted.jsonl --limit 3
"""

import os
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.training import TrainingData


class Arguments(TrainingData):
    """Show which tokens are trained on: green; key tokens bold."""

    model: str
    """Hub id or folder of the model, for its tokenizer and chat template."""
    samples: Path
    """Canonical samples, JSONL."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    limit: Annotated[int, Field(ge=1)] = 3
    """How many samples are shown, from the first on."""
    colour: Literal["auto", "always", "never"] = "auto"
    """auto: on a terminal, unless NO_COLOR is set. Without colour, marks are written instead."""


def main(arguments: Arguments) -> None:
    """Reads, encodes, prints."""
    from sluice.chat import load_tokenizer
    from sluice.records import read_samples
    from sluice.training.masks import show_mask

    is_terminal = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    text = show_mask(
        load_tokenizer(arguments.model, revision=arguments.revision),
        list(islice(read_samples(arguments.samples), arguments.limit)),
        settings=narrow(arguments, TrainingData),
        is_coloured={"auto": is_terminal, "always": True, "never": False}[arguments.colour],
    )
    sys.stdout.write(text)


if __name__ == "__main__":
    run(Arguments, main)

"""Proves that a converted model is the model it was converted from; exits 1 where it is not.

python workflow_scripts/compare_checkpoint.py --converted-model gated --dtype bfloat16
"""

from pathlib import Path

from sluice.cli import run
from sluice.errors import ModelError
from sluice.files import write_json
from sluice.settings.gate import CompareCheckpoint


class Arguments(CompareCheckpoint):
    """Compare a converted model with its source, token by token."""

    converted_model: str
    """Folder of the gated model."""
    base_model: str | None = None
    """Hub id or folder of the source; the one that the conversion recorded where not given."""
    device: str = "cpu"
    """Where the forward passes run."""
    output: Path = Path("comparison.json")
    """What was found."""


def main(arguments: Arguments) -> None:
    """Writes what was found; raises where the two models differ."""
    from sluice.gate.comparison import compare_checkpoint

    found = compare_checkpoint(
        arguments.converted_model,
        base_model=arguments.base_model,
        dtype=arguments.dtype,
        seed=arguments.seed,
        device=arguments.device,
    )
    write_json(arguments.output, found)
    if not found["is_same"]:
        raise ModelError(
            f"'{arguments.converted_model}' is not the model it was converted from",
            where=str(arguments.output),
            expected="no difference in any logit, and one gate per layer",
        )


if __name__ == "__main__":
    run(Arguments, main)

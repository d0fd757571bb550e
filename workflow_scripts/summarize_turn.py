"""Makes summary.json of a turn of the flywheel: scores, comparison, what was kept and spent.

python workflow_scripts/summarize_turn.py --output results/flywheel/turn_1/summary.json \
    --simulations turn_0/heldout/simulation_data.json turn_1/heldout/simulation_data.json \
    --evaluations turn_0/heldout/evaluation_results.json turn_1/heldout/evaluation_results.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.flywheel_turn import SummarizeTurn


class Arguments(SummarizeTurn):
    """Summarise a turn; one that lost too much ends with an error, which stops the wheel."""

    simulations: tuple[Path, ...]
    """simulation_data.json of the held-out topics, of turns 0, 1, ... up to this one."""
    evaluations: tuple[Path, ...]
    """evaluation_results.json of the same dialogues, in the same order."""
    output: Path
    """JSON to write."""
    training_folder: Path | None = None
    """Folder of this turn with train/, sft_train.* and adapter/, where it was trained."""


def main(arguments: Arguments) -> None:
    """Compares, writes."""
    from sluice.flywheel.summary import TrainingFiles, summarize_turn

    folder = arguments.training_folder
    summarize_turn(
        arguments.simulations,
        arguments.evaluations,
        training=TrainingFiles.of(folder) if folder else None,
        settings=narrow(arguments, SummarizeTurn),
        output=arguments.output,
    )


if __name__ == "__main__":
    run(Arguments, main)

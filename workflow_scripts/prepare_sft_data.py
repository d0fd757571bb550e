"""Makes sft_train.jsonl: the judged exchanges that are worth learning from.

python workflow_scripts/prepare_sft_data.py --simulation simulation_data.json \
    --evaluation evaluation_results.json --output sft_train.jsonl --format alpaca
"""

from pathlib import Path
from typing import Annotated

import tyro

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.flywheel_turn import PrepareSftData, SftFormat


class Arguments(PrepareSftData):
    """Keep the good exchanges: high scores, no duplicates, no text of the evaluation."""

    simulation: Path
    """simulation_data.json of the training topics."""
    evaluation: Path
    """evaluation_results.json of the same dialogues."""
    output: Path
    """JSONL to write; the rejected exchanges, the ledger and shift.json appear beside it."""
    dataset: str = "flywheel"
    """Name of the data set; ids begin with it."""
    held_out: tuple[Path, ...] = ()
    """simulation_data.json of held-out topics: what their users ask first is never learnt."""
    held_out_topics: tuple[Path, ...] = ()
    """Files of these topics: their fixed questions (turns) are never learnt, either."""
    sft_format: Annotated[SftFormat, tyro.conf.arg(aliases=["--format"])] = "messages"
    """messages: canonical samples, which fine_tune.py reads. alpaca: instruction, input, output
    and history, for other trainers."""


def main(arguments: Arguments) -> None:
    """Filters, writes."""
    from sluice.flywheel.filtering import prepare_sft_data

    prepare_sft_data(
        arguments.simulation,
        arguments.evaluation,
        name=arguments.dataset,
        held_out=arguments.held_out,
        held_out_topics=arguments.held_out_topics,
        settings=narrow(arguments, PrepareSftData),
        sft_format=arguments.sft_format,
        output=arguments.output,
    )


if __name__ == "__main__":
    run(Arguments, main)

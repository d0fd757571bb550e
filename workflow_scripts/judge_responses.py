"""Lets a judge score every exchange of simulated dialogues.

python workflow_scripts/judge_responses.py --simulation simulation_data.json \
    --output evaluation_results.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.flywheel import JudgeResponses
from sluice.settings.llm import Endpoint, Judge


class Arguments(Judge, JudgeResponses):
    """Judge every exchange; base-url, model and api-key flags are the judge's."""

    simulation: Path
    """simulation_data.json, as simulate_dialogues writes it."""
    generator: str | None = None
    """Name or path of the model that answered, a judge of whose family may prefer it; the one that
    the simulation names where not given."""
    judge_prompt: Path = Path("resources/flywheel/judge_v1.txt")
    """What the judge is told: the rubric of each dimension."""
    law: Path = Path("resources/demo/cases.json")
    """What the offline judges know of the built-in world."""
    output: Path = Path("evaluation_results.json")
    """Verdicts to write, JSON."""
    answer_cache: Path = Path("results/.state/llm_answers")
    """Where paid answers are kept from run to run."""


def main(arguments: Arguments) -> None:
    """Judges, writes."""
    from sluice.flywheel.judging_run import judge_responses

    judge_responses(
        arguments.simulation,
        generator=arguments.generator,
        settings=narrow(arguments, JudgeResponses),
        endpoint=narrow(arguments, Endpoint),
        prompt=arguments.judge_prompt,
        law_path=arguments.law,
        output=arguments.output,
        answer_cache=arguments.answer_cache,
    )


if __name__ == "__main__":
    run(Arguments, main)

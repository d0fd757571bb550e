"""Examines the judges: asked again, in pairs, against references.

python workflow_scripts/calibrate_judge.py --simulation simulation_data.json \
    --generator Qwen/Qwen2.5-3B-Instruct --judge.base-url https://api.deepseek.com/v1 \
    --judge.model deepseek-chat --output judge_calibration.csv
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.calibration import CalibrateJudge
from sluice.settings.llm import Evaluator, Judge


class Arguments(CalibrateJudge):
    """Examine judge and evaluator on held-out dialogues."""

    judge: Judge = Judge()
    """Who chooses what is learnt."""
    evaluator: Evaluator = Evaluator()
    """Who says whether it helped."""
    simulation: Path
    """simulation_data.json of held-out dialogues."""
    earlier: Path | None = None
    """The same of the turn before: answers to the same openings are compared in pairs."""
    generator: str
    """Name or path of the model that answered; a judge of its family may prefer it."""
    judge_prompt: Path = Path("resources/flywheel/judge_v1.txt")
    """What the judges are told: the rubric of each dimension."""
    compare_prompt: Path = Path("resources/flywheel/compare_v1.txt")
    """What they are told when they compare two answers."""
    law: Path = Path("resources/demo/cases.json")
    """What the offline judges know of the built-in world."""
    output: Path = Path("judge_calibration.csv")
    """Table to write, CSV; the same as JSON appears beside it."""
    answer_cache: Path = Path("results/.state/llm_answers")
    """Where paid answers are kept from run to run."""


def main(arguments: Arguments) -> None:
    """Asks, measures, writes."""
    from sluice.flywheel.calibration_run import Prompts, calibrate_judge

    calibrate_judge(
        arguments.simulation,
        generator=arguments.generator,
        earlier=arguments.earlier,
        judges={"judge": arguments.judge, "evaluator": arguments.evaluator},
        prompts=Prompts(arguments.judge_prompt, arguments.compare_prompt, arguments.law),
        settings=narrow(arguments, CalibrateJudge),
        output=arguments.output,
        answer_cache=arguments.answer_cache,
    )


if __name__ == "__main__":
    run(Arguments, main)

"""Samples completions of every prompt, grades them, and keeps the correct ones with their counts.

python workflow_scripts/sample_responses.py --model_path my_model --training_data train.jsonl \
    --output sampled/sampled_data.json --num_samples 8 --temperature 0.8 --grader number
"""

from pathlib import Path
from typing import Annotated

import tyro

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.device import ComputeShare
from sluice.settings.sampling import SampleResponses, TaskSettings


class Arguments(TaskSettings, SampleResponses, ComputeShare):
    """Sample responses, keep the correct ones."""

    model_path: Annotated[str, tyro.conf.arg(aliases=["--model"])]
    """Hub id or folder; for the engine openai the name that the server knows."""
    training_data: Path
    """Prompts: canonical samples with references (JSONL), or LawShift cases (JSON list)."""
    articles: Path | None = None
    """LawShift: JSON file of the statute's articles, article number -> text."""
    legal_prompt: Path = Path("resources/prompts/legal_judgment_v1.txt")
    """LawShift: the prompt's template, with {articles} and {fact}."""
    output: Path = Path("sampled_data.json")
    """Kept completions to write, JSON, in a folder of its own: the other files appear beside it."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    adapter: str | None = None
    """Folder of an adapter for the model."""
    state_dir: Path = Path("results/.state/sample_responses")
    """Where completions are kept until the output is written."""


def main(arguments: Arguments) -> None:
    """Samples, grades, writes."""
    from sluice.devices import take_gpus
    from sluice.sampling.runs import sample_responses

    take_gpus(arguments.num_gpus, device=arguments.device)
    sample_responses(
        narrow(arguments, TaskSettings),
        seed=arguments.seed,
        model=arguments.model_path,
        revision=arguments.revision,
        adapter=arguments.adapter,
        prompts_path=arguments.training_data,
        articles=arguments.articles,
        legal_prompt=arguments.legal_prompt,
        output=arguments.output,
        state_root=arguments.state_dir,
    )


if __name__ == "__main__":
    run(Arguments, main)

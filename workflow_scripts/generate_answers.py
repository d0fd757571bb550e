"""Lets a model, or an adapter on it, answer the items of a suite.

python workflow_scripts/generate_answers.py --samples heldout.jsonl --model my_model \
    --adapter my_adapter/final_model --output heldout.answers.jsonl
"""

from functools import partial
from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.device import ComputeShare
from sluice.settings.engine import EngineSettings
from sluice.settings.evaluation import GenerateAnswers


class Arguments(GenerateAnswers, ComputeShare):
    """Let a model, or an adapter on it, answer the items of a suite."""

    samples: Path
    """The suite: canonical samples, JSONL. A response that ends a dialogue is not shown."""
    model: str
    """Folder or hub id of the model; for the engine openai the name that the server knows."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    adapter: str | None = None
    """Folder of an adapter, or of a fully fine-tuned model, which then takes the model's place."""
    output: Path
    """Answers to write, JSONL: id, sample, group, prompt, completion, finish_reason, num_tokens."""
    state_dir: Path = Path("results/.state/generate_answers")
    """Where an interrupted run keeps its answers."""


def main(arguments: Arguments) -> None:
    """Loads the engine, answers, writes."""
    from sluice.devices import take_gpus
    from sluice.engines.building import make_engine
    from sluice.evaluation.answering import answer_suite

    take_gpus(arguments.num_gpus, device=arguments.device)
    source = {name: getattr(arguments, name) for name in ("model", "revision", "adapter")}
    engine = narrow(arguments, EngineSettings)
    answer_suite(
        arguments.samples,
        load_engine=partial(make_engine, engine, **source, output=arguments.output),
        settings=narrow(arguments, GenerateAnswers),
        source=source,
        output=arguments.output,
        state_root=arguments.state_dir,
    )


if __name__ == "__main__":
    run(Arguments, main)

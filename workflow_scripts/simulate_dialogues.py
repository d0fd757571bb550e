"""Lets a local model talk with a simulated user about topics, and keeps what was said.

python workflow_scripts/simulate_dialogues.py --model_path my_model --topics topics.jsonl \
    --output simulation_data.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.device import ComputeShare
from sluice.settings.flywheel import SimulateDialogues
from sluice.settings.llm import Endpoint, Simulator


class Arguments(Simulator, SimulateDialogues, ComputeShare):
    """Simulate dialogues; base-url, model and api-key flags are the simulated user's."""

    model_path: str
    """Folder or hub id of the local model, which answers."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    topics: tuple[Path, ...]
    """Topics, JSONL files; MT-Bench's question file is one."""
    num_topics: int | None = None
    """How many of them, drawn by seed, part and id; all where not given."""
    part: str = "all"
    """Name of that draw, such as train_2: another name draws others."""
    user_prompt: Path = Path("resources/flywheel/user_v1.txt")
    """What the model that plays the user is told."""
    law: Path = Path("resources/demo/cases.json")
    """What the offline user knows of the built-in world."""
    output: Path = Path("simulation_data.json")
    """Dialogues to write, JSON."""
    state_dir: Path = Path("results/.state/simulate_dialogues")
    """Where exchanges are kept until the output is written."""
    answer_cache: Path = Path("results/.state/llm_answers")
    """Where paid answers are kept from run to run."""


def main(arguments: Arguments) -> None:
    """Serves the model, simulates, writes."""
    from sluice.devices import take_gpus
    from sluice.flywheel.simulation_run import Sources, simulate_dialogues

    take_gpus(arguments.num_gpus, device=arguments.server_device)
    names = ("revision", "topics", "num_topics", "part", "user_prompt", "law")
    simulate_dialogues(
        Sources(model=arguments.model_path, **{name: getattr(arguments, name) for name in names}),
        settings=narrow(arguments, SimulateDialogues),
        endpoint=narrow(arguments, Endpoint),
        output=arguments.output,
        state_root=arguments.state_dir,
        answer_cache=arguments.answer_cache,
    )


if __name__ == "__main__":
    run(Arguments, main)

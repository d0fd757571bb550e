"""Makes the topics of the built-in flywheel: court cases that no other built-in data has.

python workflow_scripts/make_demo_topics.py --taken results/demo/base_corpus.jsonl \
    --folder results/demo
"""

from pathlib import Path

from sluice.cli import run
from sluice.data.demo.topics import make_demo_topics
from sluice.settings.base import narrow
from sluice.settings.flywheel import MakeDemoTopics


class Arguments(MakeDemoTopics):
    """Make topics to learn from, and others to be tested on."""

    resources: Path = Path("resources/demo")
    """Folder of the word lists (JSON)."""
    taken: tuple[Path, ...]
    """Canonical samples, JSONL, whose prompts must not occur among the topics."""
    folder: Path
    """Folder for topics_train.jsonl and topics_heldout.jsonl."""


def main(arguments: Arguments) -> None:
    """Makes the topics."""
    make_demo_topics(
        arguments.resources,
        taken=arguments.taken,
        folder=arguments.folder,
        settings=narrow(arguments, MakeDemoTopics),
    )


if __name__ == "__main__":
    run(Arguments, main)

"""Makes a suite of LawShift's folder: both splits of every change type.

python workflow_scripts/convert_lawshift.py --folder LawShift --output lawshift.jsonl
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import Settings


class Arguments(Settings):
    """Make a suite of LawShift's folder."""

    folder: Path
    """LawShift's folder: one folder a change type, with original.json and the three others."""
    suite: str = "lawshift"
    """Name of the suite; ids begin with it."""
    labels: Path = Path("resources/lawshift/labels.csv")
    """Change types and their labels, CSV: type, name, label."""
    original_prompt: Path = Path("resources/prompts/lawshift_original_v1.txt")
    """Prompt of the original split: {articles}, {fact}."""
    poisoned_prompt: Path = Path("resources/prompts/lawshift_poisoned_v1.txt")
    """Prompt of the poisoned split: {old_articles}, {new_articles}, {fact}."""
    output: Path
    """Suite to write, JSONL."""


def main(arguments: Arguments) -> None:
    """Reads, converts, writes."""
    from sluice.evaluation.lawshift import convert_lawshift, read_change_types, read_prompt
    from sluice.records import write_samples

    prompts = {
        "original": read_prompt(arguments.original_prompt, split="original"),
        "poisoned": read_prompt(arguments.poisoned_prompt, split="poisoned"),
    }
    types = read_change_types(arguments.labels)
    samples = convert_lawshift(arguments.folder, types, prompts=prompts, suite=arguments.suite)
    write_samples(arguments.output, samples)


if __name__ == "__main__":
    run(Arguments, main)

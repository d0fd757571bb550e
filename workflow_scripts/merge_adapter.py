"""Folds an adapter into its base, for serving, and proves that outputs agree.

python workflow_scripts/merge_adapter.py --adapter adapters/mine/final_model --output merged
"""

from dataclasses import replace
from pathlib import Path

from sluice.cli import run
from sluice.settings.training import MergeAdapter


class Arguments(MergeAdapter):
    """Fold an adapter into its base, in the base's precision."""

    adapter: Path
    """Folder of the adapter, with adapter_config.json."""
    output: Path
    """Folder to make; an earlier merge that is there is replaced, any other folder is refused."""
    model: str | None = None
    """Hub id or folder of the base; the one that the adapter names where none is given."""
    revision: str | None = None
    """Commit, tag or branch of a hub model; the one that the adapter names where none is given."""
    trust_remote_code: bool = False
    """Run Python code that the model's repository ships."""


def main(arguments: Arguments) -> None:
    """Merges, compares, writes."""
    from sluice.training.adapters import BaseModel
    from sluice.training.merging import merge_adapter, named_base

    is_trusted = arguments.trust_remote_code
    if arguments.model:
        base = BaseModel(arguments.model, arguments.revision, is_trusted)
    else:
        named = named_base(arguments.adapter, trust_remote_code=is_trusted)
        base = replace(named, revision=arguments.revision or named.revision)
    merge_adapter(
        arguments.adapter,
        arguments.output,
        base=base,
        tolerance_nats=arguments.merge_tolerance_nats,
    )


if __name__ == "__main__":
    run(Arguments, main)

r"""Runs the gated model over a dataset, or one shard of it, and keeps what it says of every token.

python workflow_scripts/collect_router_data.py --model gated --samples train.jsonl \\
    --dataset mine --output mine_router_data.pt --ledger mine.ledger.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.device import ComputeShare
from sluice.settings.gate import CollectRouterData


class Arguments(CollectRouterData, ComputeShare):
    """Collect gate logits, perplexity and entropy of every token."""

    model: Path
    """Folder of convert_checkpoint."""
    samples: Path
    """Canonical samples, JSONL."""
    dataset: str
    """The dataset's name."""
    output: Path
    """Router data file to write."""
    ledger: Path
    """Row counts, JSON, to write."""
    gate_weights: Path | None = None
    """Gates of warm_up_gate; those of the model folder where not given."""
    shard: int = 0
    """Which part of the samples, from 0."""
    num_shards: int = 1
    """Into how many parts the samples are split."""
    state_dir: Path = Path("results/.state/collect_router_data")
    """Where finished batches are kept."""


def main(arguments: Arguments) -> None:
    """Scores the shard's samples."""
    from sluice.devices import take_gpus
    from sluice.gate.runs import collect_shard

    take_gpus(arguments.num_gpus, device=arguments.device)
    collect_shard(
        arguments.model,
        arguments.samples,
        dataset=arguments.dataset,
        shard=(arguments.shard, arguments.num_shards),
        gate_weights=arguments.gate_weights,
        settings=narrow(arguments, CollectRouterData),
        output=arguments.output,
        ledger_path=arguments.ledger,
        state_root=arguments.state_dir,
    )


if __name__ == "__main__":
    run(Arguments, main)

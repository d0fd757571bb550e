"""Whole runs of the gate stage: files and models in, records or weights out."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from sluice.chat import load_tokenizer
from sluice.devices import find_device
from sluice.errors import DataError, ModelError
from sluice.files import write_json
from sluice.gate.batching import block_numbers
from sluice.gate.collection import collect_router_data
from sluice.gate.conversion import load_causal_model
from sluice.gate.modeling import set_gate_weights
from sluice.gate.warm_up import choose_samples, warm_up_gate
from sluice.ledger import Ledger
from sluice.logs import get_logger
from sluice.records import Sample, read_samples
from sluice.router_data import RouterData, write_router_data
from sluice.settings.gate import CollectRouterData, WarmUpGate
from sluice.state import clear_state, open_state
from sluice.tensor_files import read_tensors, write_tensors

logger = get_logger(__name__)


def collect_shard(
    model: Path,
    samples: Path,
    *,
    dataset: str,
    shard: tuple[int, int],
    gate_weights: Path | None,
    settings: CollectRouterData,
    output: Path,
    ledger_path: Path,
    state_root: Path,
) -> RouterData:
    """Scores one shard of a dataset with the gated model; writes the records and returns them.

    Args:
        model: folder of convert_checkpoint.
        samples: canonical samples, JSONL.
        dataset: the dataset's name.
        shard: (which part, of how many); part i takes the blocks i, i + n, i + 2n ... of samples
            (see `block_numbers`), so the last parts of a small dataset may be empty.
        gate_weights: file of warm_up_gate, or None for the model folder's own gates.
        settings: token limits, device and batch budget.
        output: router data file to write.
        ledger_path: row counts to write.
        state_root: where progress of this rule is kept.
    Raises:
        ModelError: the model is not gated, or the gate weights do not fit it.
    """
    part, num_parts = shard
    inputs = [model, samples, *([gate_weights] if gate_weights else [])]
    state = open_state(
        state_root,
        script="collect_router_data",
        settings={**settings.model_dump(), "shard": list(shard)},
        inputs=inputs,
    )
    gated = load_gated_model(model, gate_weights=gate_weights, device=settings.device)
    stem = ledger_path.name.removesuffix(".json").removesuffix(".ledger")
    rejected = ledger_path.with_name(f"{stem}.rejected.jsonl")
    with Ledger("collect_router_data", dataset, path=ledger_path, rejected_path=rejected) as ledger:
        data = collect_router_data(
            gated,
            load_tokenizer(model),
            _read_shard(samples, part, num_parts),
            dataset=dataset,
            settings=settings,
            ledger=ledger,
            state=state,
        )
    write_router_data(output, data)
    clear_state(state)
    return data


def _read_shard(path: Path, part: int, num_parts: int) -> Iterator[Sample]:
    if num_parts == 1:
        return read_samples(path)
    block_of = block_numbers(sample.id for sample in read_samples(path))
    return (s for s in read_samples(path) if block_of[s.id] % num_parts == part)


def run_warm_up(
    model: Path,
    samples: Sequence[Path],
    *,
    settings: WarmUpGate,
    output: Path,
    training_log: Path,
    state_root: Path,
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Trains the gates of a converted model on a share of some sample files, and writes them.

    Returns:
        Gate weights by name (float32), and the loss of every step.
    """
    state = open_state(
        state_root,
        script="warm_up_gate",
        settings=settings.model_dump(),
        inputs=[model, *samples],
    )
    gated = load_gated_model(model, gate_weights=None, device=settings.device)
    every_sample = chain.from_iterable(read_samples(path) for path in samples)
    chosen = choose_samples(every_sample, fraction=settings.warm_up_fraction, seed=settings.seed)
    logger.info("%d samples to learn from", len(chosen))
    weights, losses = warm_up_gate(
        gated,
        load_tokenizer(model),
        chosen,
        settings=settings,
        state=state,
    )
    write_gate_weights(output, weights)
    write_json(training_log, {"losses": losses})
    clear_state(state)
    return weights, losses


def load_gated_model(model: Path, *, gate_weights: Path | None, device: str = "auto") -> Any:
    """A gated model ready to score: bf16 on a GPU, fp32 on a CPU.

    Raises:
        DeviceError: the device is not there.
        ModelError: the model is not gated, or the gate weights do not fit it.
    """
    place = find_device(device)
    dtype = "bfloat16" if place.type == "cuda" else "float32"
    gated = load_causal_model(str(model), dtype=dtype).to(place).eval()
    if not hasattr(gated.config, "quality_gate_init_std"):
        raise ModelError(
            f"'{model}' has no gates",
            hint="convert it first: workflow_scripts/convert_checkpoint.py --help",
        )
    if gate_weights:
        set_gate_weights(gated, read_gate_weights(gate_weights))
    return gated


def write_gate_weights(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Writes gate weights, whole or not at all; the same weights give the same bytes."""
    write_tensors(path, weights)


def read_gate_weights(path: Path) -> dict[str, torch.Tensor]:
    """The file of warm_up_gate: layer name -> weights. Nothing in it is executed.

    Raises:
        ModelError: the file is missing or holds anything else.
    """
    expected = "a file of warm_up_gate"
    try:
        weights: Any = read_tensors(path, what="a gate weights file", expected=expected)
    except DataError as error:
        raise ModelError(error.what, expected=expected, hint=error.hint) from None
    is_dict = isinstance(weights, dict)
    if not is_dict or not all(isinstance(weight, torch.Tensor) for weight in weights.values()):
        raise ModelError(
            f"{path} is not a gate weights file: it holds something else than named weights",
            expected=expected,
        )
    return weights  # type: ignore[no-any-return]

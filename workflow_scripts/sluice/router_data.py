"""router_data.pt: per-token records of a dataset, without padding.

Entry j of a sample describes its token j + 1, the first token that a model can predict: how
surprising the token was given those before it, how uncertain the prediction was, and what the gates
said once the token had been read. A sample of T tokens thus has T - 1 entries.

Shape letters: N samples, E entries of all samples, L layers, T entries of the longest sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sluice.errors import DataError
from sluice.tensor_files import read_tensors, write_tensors

FORMAT_VERSION = 1

# exp(80) is the largest perplexity kept: float32 holds no more than exp(88).
MAX_NLL_NATS = 80.0


@dataclass(frozen=True)
class RouterData:
    """The per-token records of one dataset, samples in the order of ``sample_ids``."""

    dataset_name: str
    sample_ids: list[str]
    offsets: Tensor
    """int64 (N + 1): sample i's entries are ``offsets[i]:offsets[i + 1]``."""
    quality_gates: Tensor
    """float16 (E, L): gate logits."""
    perplexities: Tensor
    """float32 (E): exp(NLL), nats, of the entry's token."""
    is_response: Tensor
    """bool (E): whether the token belongs to an assistant's message."""
    entropies: Tensor | None = None
    """float16 (E): mean of -log p under the prediction, nats. Dense files have none."""
    varentropies: Tensor | None = None
    """float16 (E): variance of -log p under the prediction, nats^2."""
    response_nll_alone: Tensor | None = None
    """float32 (N): mean NLL of the response when it stands without its prompt; for IFD."""

    @property
    def num_samples(self) -> int:
        """N."""
        return len(self.sample_ids)

    @property
    def num_layers(self) -> int:
        """L."""
        return int(self.quality_gates.shape[1])

    def num_entries(self) -> Tensor:
        """int64 (N): entries of each sample."""
        return self.offsets.diff()

    def to_dense(self) -> dict[str, Any]:
        """The padded layout that other code of this kind reads.

        Returns:
            ``quality_gates`` float32 (N, L, T), ``perplexities`` float32 (N, T), both 0 on padding
            (a perplexity is at least 1), ``dataset_name``, ``num_samples``, ``sample_ids``.
        """
        lengths_N = self.num_entries()
        width = int(lengths_N.max()) if self.num_samples else 0
        is_real_NT = torch.arange(width) < lengths_N[:, None]
        gates_NTL = torch.zeros(self.num_samples, width, self.num_layers)
        gates_NTL[is_real_NT] = self.quality_gates.float()
        perplexities_NT = torch.zeros(self.num_samples, width)
        perplexities_NT[is_real_NT] = self.perplexities
        return {
            "dataset_name": self.dataset_name,
            "num_samples": self.num_samples,
            "sample_ids": self.sample_ids,
            "quality_gates": gates_NTL.transpose(1, 2).contiguous(),
            "perplexities": perplexities_NT,
        }


def write_router_data(path: Path, data: RouterData) -> None:
    """Writes the file whole or not at all; the same data gives the same bytes."""
    lengths_N = data.num_entries()
    values: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "dataset_name": data.dataset_name,
        "num_samples": data.num_samples,
        "num_layers": data.num_layers,
        "max_seq_len": int(lengths_N.max()) + 1 if data.num_samples else 0,
        "sample_ids": data.sample_ids,
        **{name: getattr(data, name) for name in _TENSORS if getattr(data, name) is not None},
    }
    write_tensors(path, values)


_TENSORS = (
    "offsets",
    "quality_gates",
    "perplexities",
    "entropies",
    "varentropies",
    "is_response",
    "response_nll_alone",
)


_RAGGED = {**dict.fromkeys(_TENSORS, 1), "quality_gates": 2}
_DENSE = {"quality_gates": 3, "perplexities": 2}
"""Tensor -> its number of dimensions, in both layouts."""


def read_router_data(path: Path) -> RouterData:
    """Reads a ragged or a dense router data file. Nothing in it is executed.

    Raises:
        DataError: the file is missing, damaged, holds more than plain tensors, lacks a field, or
            its columns are not of one length.
    """
    # Memory-mapped: a file larger than memory can be read in blocks of samples.
    values = read_tensors(
        path,
        what="a router data file",
        expected="a file of collect_router_data: tensors, numbers and strings, nothing else",
        mmap=True,
    )
    found = set(values) if isinstance(values, dict) else set()
    required = {"dataset_name", "quality_gates", "perplexities"}
    if "offsets" in found:
        required |= {"sample_ids", "is_response"}
    if required - found:
        raise DataError(f"{path} lacks {', '.join(sorted(required - found))}")
    is_ragged = "offsets" in found
    if not _has_types(values, num_dimensions=_RAGGED if is_ragged else _DENSE):
        raise _damaged(path)
    data = _from_ragged(values, path) if is_ragged else _from_dense(values, path)
    if not _is_consistent(data):
        raise _damaged(path)
    return data


def _has_types(values: dict[str, Any], *, num_dimensions: Mapping[str, int]) -> bool:
    """Whether names are texts, and tensors are tensors of so many dimensions."""
    ids = values.get("sample_ids") or []
    return (
        isinstance(values["dataset_name"], str)
        and isinstance(ids, list | tuple)
        and all(isinstance(each, str) for each in ids)
        and all(
            isinstance(values[name], Tensor) and values[name].dim() == number
            for name, number in num_dimensions.items()
            if name in values
        )
    )


def _is_consistent(data: RouterData) -> bool:
    starts_at_zero_and_rises = data.offsets[:1].tolist() == [0] and (data.offsets.diff() >= 0).all()
    columns = [getattr(data, name) for name in _TENSORS[1:-1]]
    alone = data.response_nll_alone
    return bool(
        starts_at_zero_and_rises
        and data.offsets.dtype == torch.int64
        and data.is_response.dtype == torch.bool
        and len(data.offsets) == data.num_samples + 1
        and all(column is None or len(column) == data.offsets[-1] for column in columns)
        and (alone is None or len(alone) == data.num_samples)
    )


def _damaged(path: Path) -> DataError:
    return DataError(f"{path} is damaged: offsets, ids and entries do not fit together")


def _from_ragged(values: dict[str, Any], path: Path) -> RouterData:
    if values.get("format_version") != FORMAT_VERSION:
        raise DataError(
            f"{path} is of format version {values.get('format_version')}",
            expected=f"version {FORMAT_VERSION}",
            hint="collect the router data anew with this version",
        )
    return RouterData(
        dataset_name=values["dataset_name"],
        sample_ids=list(values["sample_ids"]),
        **{name: values[name] for name in _TENSORS if name in values},
    )


def _from_dense(values: dict[str, Any], path: Path) -> RouterData:
    perplexities_NT = values["perplexities"].float()
    num_samples, _, width = values["quality_gates"].shape
    if perplexities_NT.shape != (num_samples, width):
        raise _damaged(path)
    # Not `> 0`: a perplexity that is not a number is a broken record, not padding.
    is_real_NT = perplexities_NT != 0
    offsets = torch.zeros(len(perplexities_NT) + 1, dtype=torch.int64)
    offsets[1:] = is_real_NT.sum(1).cumsum(0)
    name = values["dataset_name"]
    ids = values.get("sample_ids") or [f"{name}_{i}" for i in range(len(perplexities_NT))]
    return RouterData(
        dataset_name=name,
        sample_ids=list(ids),
        offsets=offsets,
        quality_gates=values["quality_gates"].transpose(1, 2)[is_real_NT].half(),
        perplexities=perplexities_NT[is_real_NT],
        is_response=torch.ones(int(offsets[-1]), dtype=torch.bool),
    )


def join_router_data(parts: Sequence[RouterData]) -> RouterData:
    """Puts the shards of one dataset together, samples sorted by id.

    Raises:
        DataError: the parts are of different datasets or models, or share a sample.
    """
    first = parts[0]
    if len({(part.dataset_name, part.num_layers) for part in parts}) > 1:
        raise DataError("the shards are not of one dataset and one model")
    ids = [sample_id for part in parts for sample_id in part.sample_ids]
    if len(set(ids)) != len(ids):
        raise DataError(f"two shards of {first.dataset_name} hold the same sample")
    order = sorted(range(len(ids)), key=ids.__getitem__)
    lengths = torch.cat([part.num_entries() for part in parts])
    starts = lengths.cumsum(0) - lengths
    rows = [torch.arange(int(starts[i]), int(starts[i] + lengths[i])) for i in order]
    entries = torch.cat(rows) if rows else torch.zeros(0, dtype=torch.int64)
    offsets = torch.zeros(len(ids) + 1, dtype=torch.int64)
    offsets[1:] = lengths[order].cumsum(0)

    def gather(name: str, index: Any) -> Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        return None if any(tensor is None for tensor in tensors) else torch.cat(tensors)[index]

    per_entry = {name: gather(name, entries) for name in _TENSORS[1:-1]}
    return RouterData(
        dataset_name=first.dataset_name,
        sample_ids=[ids[i] for i in order],
        offsets=offsets,
        response_nll_alone=gather("response_nll_alone", order),
        **per_entry,  # type: ignore[arg-type]
    )

"""Per-token records -> one row per sample, one column per score.

Shape letters: N samples, E entries of all samples, L layers.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from sluice.errors import ScoringError, shorten_ids
from sluice.router_data import RouterData
from sluice.selection.columns import layer_columns, quality_of
from sluice.selection.segments import (
    Flags,
    Floats,
    Ints,
    segment_max,
    segment_mean,
    segment_softmax,
    segment_sum,
    segment_worst_mean,
)
from sluice.settings.selection import ScoreSamples

# A prediction this certain (nats) is taken as no more certain; without it, sure and right tokens
# would divide nothing by nothing.
MIN_DEVIATION_NATS = 0.1

_ENTRIES_AT_ONCE = 2_000_000
_WORST_SHARES = {"worst_tenth": 0.1, "worst_fifth": 0.2}


def score_samples(data: RouterData, *, settings: ScoreSamples) -> pa.Table:
    """Scores every sample of a dataset.

    Columns: ``id, dataset, num_tokens, num_response_tokens, quality, perplexity, response_nll``
    (nats), ``excess_surprise_*`` (NLL - entropy, nats; mean, max, worst tenth, worst fifth),
    ``normalised_surprise_*`` (the same divided by the standard deviation of -log p; Min-K%++,
    arXiv 2404.02936, eq. 3, with the sign turned), ``ifd``, ``gate_layer_NN``, ``status``. What a
    file lacks, or a sample leaves undefined, is null; ``status`` says why.

    Returns:
        One row per sample, sorted by id.
    Raises:
        ScoringError: the file has no sample, or none can be scored.
    """
    if not data.num_samples:
        raise ScoringError(f"the router data of {data.dataset_name} holds no sample")
    blocks = [_score_block(data, rows, settings=settings) for rows in _row_blocks(data)]
    table = pa.concat_tables(blocks)
    is_ok = np.asarray(table["status"]) == "ok"
    if not is_ok.any():
        raise ScoringError(
            f"no sample of {data.dataset_name} can be scored "
            f"(first ids: {shorten_ids(data.sample_ids)})",
            expected="finite records, and a response token in each sample",
        )
    layers = np.stack([np.asarray(table[name]) for name in layer_columns(table)], axis=1)
    quality = quality_of(layers, is_ok=is_ok)
    place = table.column_names.index("quality")
    column = pa.array(quality, mask=np.isnan(quality))
    return table.set_column(place, "quality", column).sort_by("id")


def _row_blocks(data: RouterData) -> Iterator[slice]:
    """Slices of samples that hold about so many entries that their arrays stay small."""
    offsets = data.offsets.numpy()
    first = 0
    while first < data.num_samples:
        last = int(np.searchsorted(offsets, offsets[first] + _ENTRIES_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), data.num_samples)
        yield slice(first, last)
        first = last


def _score_block(data: RouterData, rows: slice, *, settings: ScoreSamples) -> pa.Table:
    offsets = data.offsets[rows.start : rows.stop + 1].numpy()
    entries = slice(int(offsets[0]), int(offsets[-1]))
    lengths = np.diff(offsets)
    segment = np.repeat(np.arange(len(lengths)), lengths)
    is_response = data.is_response[entries].numpy()
    num_response = np.bincount(segment, weights=is_response, minlength=len(lengths)).astype(int)
    is_scored = is_response if settings.scored_tokens == "response" else np.ones_like(is_response)
    is_broken = np.bincount(segment, weights=~_is_sound(data, entries), minlength=len(lengths)) > 0
    status = np.where(num_response == 0, "no_response_token", "ok").astype(object)
    status[is_broken] = "not_finite"
    used = is_scored & (status == "ok")[segment]
    is_ok = status == "ok"
    counts = np.bincount(segment[used], minlength=len(lengths))[is_ok]

    columns: dict[str, pa.Array] = {
        "id": pa.array(data.sample_ids[rows], pa.string()),
        "dataset": pa.array([data.dataset_name] * len(lengths), pa.string()),
        "num_tokens": pa.array(lengths + 1, pa.int64()),
        "num_response_tokens": pa.array(num_response, pa.int64()),
        "quality": pa.nulls(len(lengths), pa.float64()),
    }
    scores = _scores(data, entries, used=used, counts=counts, rows=rows, is_ok=is_ok)
    scores |= _gate_scores(data, entries, used=used, counts=counts, alpha=settings.alpha)
    for name, values in scores.items():
        columns[name] = _spread(values, is_ok)
    columns["status"] = pa.array(status, pa.string())
    return pa.table(columns)


def _is_sound(data: RouterData, entries: slice) -> Flags:
    """Which entries hold a positive perplexity and nothing that is not finite."""
    perplexities = data.perplexities[entries].numpy()
    is_sound: Flags = np.isfinite(perplexities) & (perplexities > 0)
    is_sound &= np.isfinite(data.quality_gates[entries].numpy()).all(1)
    for optional in (data.entropies, data.varentropies):
        if optional is not None:
            is_sound &= np.isfinite(optional[entries].numpy())
    return is_sound


def _spread(values: Floats | None, is_ok: Flags) -> pa.Array:
    """Values of the rows that are ok, as a column in which the others are null."""
    if values is None:
        return pa.nulls(len(is_ok), pa.float64())
    column = np.zeros(len(is_ok))
    column[is_ok] = values
    return pa.array(column, mask=~is_ok | np.isnan(column))


def _scores(
    data: RouterData, entries: slice, *, used: Flags, counts: Ints, rows: slice, is_ok: Flags
) -> dict[str, Floats | None]:
    names = ["mean", "max", *_WORST_SHARES]
    if not len(counts):
        empty = np.zeros(0)
        scores: dict[str, Floats | None] = {"perplexity": empty, "response_nll": empty}
        return (
            scores
            | {f"{kind}_surprise_{n}": empty for kind in _KINDS for n in names}
            | {"ifd": empty}
        )
    nll = np.log(data.perplexities[entries].numpy()[used].astype(np.float64))
    mean_nll = segment_mean(nll, counts)
    scores = {"perplexity": np.exp(mean_nll), "response_nll": mean_nll}
    for kind in _KINDS:
        surprise = _surprise(data, entries, used=used, nll=nll, is_normalised=kind != "excess")
        for name in names:
            value = None if surprise is None else _summary(surprise, counts, name)
            scores[f"{kind}_surprise_{name}"] = value
    alone = data.response_nll_alone
    scores["ifd"] = None
    if alone is not None:
        scores["ifd"] = np.exp(mean_nll - alone[rows].numpy().astype(np.float64)[is_ok])
    return scores


_KINDS = ("excess", "normalised")


def _surprise(
    data: RouterData, entries: slice, *, used: Flags, nll: Floats, is_normalised: bool
) -> Floats | None:
    """How much more surprising each token was than the model expected to be surprised."""
    if data.entropies is None:
        return None
    excess: Floats = nll - data.entropies[entries].numpy()[used].astype(np.float64)
    if not is_normalised:
        return excess
    if data.varentropies is None:
        return None
    deviation = np.sqrt(data.varentropies[entries].numpy()[used].astype(np.float64))
    normalised: Floats = excess / np.maximum(deviation, MIN_DEVIATION_NATS)
    return normalised


def _summary(values: Floats, counts: Ints, name: str) -> Floats:
    if name == "mean":
        return segment_mean(values, counts)
    if name == "max":
        return segment_max(values, counts)
    return segment_worst_mean(values, counts, share=_WORST_SHARES[name])


def _gate_scores(
    data: RouterData, entries: slice, *, used: Flags, counts: Ints, alpha: float
) -> dict[str, Floats | None]:
    """s_l = sum_t w_t sigmoid(g_lt), with w_t = ppl_t^alpha / sum ppl^alpha over a sample."""
    names = [f"gate_layer_{layer:02d}" for layer in range(data.num_layers)]
    if not len(counts):
        return {name: np.zeros(0) for name in names}
    nll = np.log(data.perplexities[entries].numpy()[used].astype(np.float64))
    weights = segment_softmax(alpha * nll, counts)
    logits_EL = data.quality_gates[entries].numpy()[used].astype(np.float32)
    weighted_EL = weights[:, None] / (1 + np.exp(-logits_EL))
    scores_NL = segment_sum(weighted_EL, counts)
    return {name: scores_NL[:, layer] for layer, name in enumerate(names)}

"""Which samples are kept, best first; ties are broken by id.

Shape letters: N samples, L layers.
"""

from decimal import ROUND_CEILING, Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from sluice.errors import SelectionError, shorten_ids
from sluice.seeds import derive_seed
from sluice.selection.columns import ROUNDING, layer_columns
from sluice.selection.segments import Floats, Ints
from sluice.settings.selection import SelectionSize, SelectSamples

Indices = NDArray[np.int64]

# k-means finds its centres on a draw of the samples; more do not move them.
_CLUSTERED_AT_MOST = 20_000
# The best of so many beginnings; from a single one, clear clusters are often missed.
_CLUSTERINGS = 10


def select_samples(scores: pa.Table, *, settings: SelectSamples) -> Indices:
    """Rows of the kept samples in the order of their ranks.

    Args:
        scores: a table of score_samples, or several put together; only rows with status ``ok`` are
            looked at.
        settings: strategy and size.
    Raises:
        SelectionError: no row is ok, a needed score is missing, not finite, or the same for all.
    """
    rows = np.flatnonzero(np.asarray(scores["status"]) == "ok")
    if not len(rows):
        raise SelectionError("no sample has a score", hint="see the status column of the scores")
    ok = scores.take(pa.array(rows))
    badness_N = _badness(ok, settings)
    order = np.lexsort((np.asarray(ok["id"]), badness_N))
    num_tokens_N = np.asarray(ok["num_tokens"])
    if settings.strategy == "diversity":
        most_clusters = num_kept(settings, num_tokens_N=num_tokens_N[order])
        order = _spread_over_clusters(ok, order, settings, most_clusters=most_clusters)
    return rows[order[: num_kept(settings, num_tokens_N=num_tokens_N[order])]]


def select_random(scores: pa.Table, *, settings: SelectionSize, seed: int) -> Indices:
    """Rows of randomly drawn samples; each sample's place is decided by its own id."""
    rows = np.flatnonzero(np.asarray(scores["status"]) == "ok")
    if not len(rows):
        raise SelectionError("no sample has a score", hint="see the status column of the scores")
    ids = scores["id"].take(pa.array(rows)).to_pylist()
    draws = np.array([derive_seed(seed, "select_random", sample_id) for sample_id in ids])
    order = np.argsort(draws, kind="stable")
    num_tokens_N = np.asarray(scores["num_tokens"])[rows][order]
    return rows[order[: num_kept(settings, num_tokens_N=num_tokens_N)]]


def num_kept(settings: SelectionSize, *, num_tokens_N: Ints) -> int:
    """How many samples are kept of samples in the order of their ranks; at least one.

    Raises:
        SelectionError: both a count and a token budget are given.
    """
    count, budget = settings.selection_count, settings.selection_token_budget
    if count is not None and budget is not None:
        raise SelectionError(
            "both selection_count and selection_token_budget are given", expected="one of them"
        )
    if count is not None:
        return min(count, len(num_tokens_N))
    if budget is not None:
        fitting = int(np.searchsorted(np.cumsum(num_tokens_N), budget, side="right"))
        return max(1, fitting)
    # In decimal, since 0.07 * 100 is 7.000000000000001 in binary.
    share = Decimal(str(settings.selection_percentage)) * len(num_tokens_N)
    return int(share.to_integral_value(ROUND_CEILING))


def _badness(ok: pa.Table, settings: SelectSamples) -> Floats:
    """One number per sample, low for the best."""
    if settings.strategy == "quality_based":
        return -_score(ok, "quality")
    if settings.strategy == "perplexity_based":
        sign = 1.0 if settings.perplexity_order == "lowest" else -1.0
        return sign * _score(ok, "perplexity")
    parts = {
        "quality": -settings.hybrid_quality_weight,
        settings.hybrid_surprise_score: settings.hybrid_surprise_weight,
    }
    used = {name: weight for name, weight in parts.items() if weight != 0}
    if not used:
        raise SelectionError(
            "both weights of the hybrid strategy are 0",
            hint="raise selection.hybrid_surprise_weight or selection.hybrid_quality_weight",
        )
    ranks = [weight * _ranks(_score(ok, name)) for name, weight in used.items()]
    total: Floats = np.sum(ranks, axis=0)
    return total


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, equal values sharing their mean rank; halves, so that weighted ties stay so."""
    # pandas is loaded by pyarrow already; scipy.stats would cost each selection another second.
    ranks: Floats = np.asarray(pd.Series(values).rank(), dtype=np.float64)
    return ranks


def _score(ok: pa.Table, name: str) -> Floats:
    column = ok[name]
    values: Floats = column.to_numpy(zero_copy_only=False).astype(np.float64)
    is_finite = np.isfinite(values)
    if not is_finite.all():
        broken = ok["id"].filter(pa.array(~is_finite)).to_pylist()
        raise SelectionError(
            f"score '{name}' is missing or not finite for {len(broken):,} of {len(values):,} "
            f"samples (first ids: {shorten_ids(broken)})",
            hint="dense router data has no entropies, so no surprise: use quality_based",
        )
    if len(values) > 1 and values.min() == values.max():
        raise SelectionError(
            f"score '{name}' is {values[0]:.6g} for all {len(values):,} samples, so none is best",
            hint="gates that were never warmed up, or a strategy whose score says nothing here",
        )
    return values


def _spread_over_clusters(
    ok: pa.Table, order: Indices, settings: SelectSamples, *, most_clusters: int
) -> Indices:
    """The same rows: the best of each cluster of gate features first, then all second bests ..."""
    clusters = _clusters(ok, settings, most_clusters=most_clusters)
    # Place of each sample within its own cluster, best first.
    by_cluster = np.argsort(clusters[order], kind="stable")
    sizes = np.bincount(clusters)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    turn = np.empty(len(order), dtype=np.int64)
    turn[by_cluster] = np.arange(len(order)) - starts
    return order[np.argsort(turn, kind="stable")]


def _clusters(ok: pa.Table, settings: SelectSamples, *, most_clusters: int) -> Ints:
    """The cluster of each row; k-means on so many of them that a million take seconds."""
    from sklearn.cluster import KMeans

    features_NL = np.stack([_standardised(ok, name) for name in layer_columns(ok)], axis=1)
    seed = derive_seed(settings.seed, "diversity") % 2**32
    # Drawn from the order of ids, so that the clusters do not depend on the order of rows.
    by_id = np.argsort(np.asarray(ok["id"]), kind="stable")
    drawn = np.random.default_rng(seed).permutation(len(by_id))[:_CLUSTERED_AT_MOST]
    drawn_features = features_NL[by_id[drawn]]
    num_distinct = len(np.unique(drawn_features, axis=0))
    num_clusters = min(settings.num_clusters, most_clusters, num_distinct)
    kmeans = KMeans(num_clusters, random_state=seed, n_init=_CLUSTERINGS)
    clusters: Ints = kmeans.fit(drawn_features).predict(features_NL).astype(np.int64)
    return clusters


def _standardised(ok: pa.Table, name: str) -> NDArray[np.float32]:
    """A layer's scores with mean 0 and deviation 1; all 0 where they differ by rounding only."""
    values = ok[name].to_numpy(zero_copy_only=False)
    deviation = values.std()
    if deviation <= ROUNDING * abs(values.mean()):
        return np.zeros(len(values), dtype=np.float32)
    standardised: NDArray[np.float32] = ((values - values.mean()) / deviation).astype(np.float32)
    return standardised

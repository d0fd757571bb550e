"""From nats and bytes to bits per byte, with an interval over documents."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.base_loss.documents import TokenDocument
from sluice.base_loss.windows import Window
from sluice.intervals import bootstrap_ratio

Floats = NDArray[np.float64]


def nats_by_document(nats_W: Floats, windows: Sequence[Window], *, num_documents: int) -> Floats:
    """The windows' nats summed by document, in float64 and in the order of the windows."""
    nats_N = np.zeros(num_documents)
    np.add.at(nats_N, [window.document for window in windows], nats_W)
    return nats_N


def describe_loss(
    nats_N: Floats, documents: Sequence[TokenDocument], *, seed: int
) -> dict[str, Any]:
    """Bits per byte of one split, and the sums behind it.

    Bits per byte are nats / (ln 2 x bytes), both over all counted tokens of all documents: a long
    document weighs more than a short one, and a model's tokenizer does not matter.

    Args:
        nats_N: of each document's counted tokens.
        documents: the same documents.
        seed: of the bootstrap.
    Returns:
        JSON values. ``interval_95`` is null for a single document, which says nothing of others.
    """
    bytes_N = np.array([document.num_bytes for document in documents], dtype=np.float64)
    num_tokens = sum(document.num_counted for document in documents)
    total_nats, total_bytes = math.fsum(nats_N), math.fsum(bytes_N)
    bits_per_nat = 1 / math.log(2)
    interval = None
    if len(documents) > 1:
        found = bootstrap_ratio(nats_N * bits_per_nat, bytes_N, seed=seed)
        interval = [found.low, found.high]
    return {
        "bits_per_byte": total_nats * bits_per_nat / total_bytes,
        "interval_95": interval,
        "nats_per_token": total_nats / num_tokens,
        "nats": total_nats,
        "num_bytes": int(total_bytes),
        "num_tokens": num_tokens,
        "num_documents": len(documents),
    }

"""Train and test: stratified by group, whole clusters on one side, the same in any order of rows.

A hash of seed and cluster puts the clusters in an order; from that order each group takes clusters
for its test set until it has its share.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import DataError, shorten_ids
from sluice.files import atomic_path, write_json
from sluice.ledger import Ledger
from sluice.logs import get_logger
from sluice.records import read_samples
from sluice.seeds import derive_seed
from sluice.tables import read_parquet

_LOG = get_logger(__name__)

# Samples without a group form one of their own.
NO_GROUP = "(none)"


@dataclass(frozen=True)
class Row:
    """What is held of a sample."""

    id: str
    group: str
    cluster: str


def choose_test(rows: list[Row], *, test_ratio: float, seed: int) -> set[str]:
    """The clusters that go to the test set.

    Each cluster belongs to the group that most of its samples have (the first by name on a tie).
    A group takes the clusters that still fit into its share, rounded, of at least one sample; where
    none fits, its smallest. One cluster of every group stays for training.
    """
    if test_ratio == 0:
        return set()
    sizes = Counter(row.cluster for row in rows)
    chosen: set[str] = set()
    for clusters in _clusters_of_groups(rows).values():
        ranked = sorted(clusters, key=lambda name: (derive_seed(seed, "split_dataset", name), name))
        target = max(1, round(test_ratio * sum(sizes[name] for name in ranked)))
        chosen.update(_fill(ranked, sizes=sizes, target=target))
    return chosen


def _clusters_of_groups(rows: list[Row]) -> dict[str, list[str]]:
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        members[row.cluster][row.group] += 1
    clusters: dict[str, list[str]] = defaultdict(list)
    for name, groups in members.items():
        clusters[min(groups, key=lambda group: (-groups[group], group))].append(name)
    return clusters


def _fill(ranked: list[str], *, sizes: Mapping[str, int], target: int) -> list[str]:
    """Clusters, in their order, that fit into ``target`` samples; never all of them."""
    if len(ranked) < 2:
        return []
    taken: list[str] = []
    room = target
    for name in ranked:
        if sizes[name] <= room and len(taken) < len(ranked) - 1:
            taken.append(name)
            room -= sizes[name]
    return taken or [min(ranked, key=lambda name: (sizes[name], ranked.index(name)))]


def split_dataset(
    samples: Path,
    clusters: Path,
    *,
    test_ratio: float,
    seed: int,
    train: Path,
    test: Path,
    ledger: Ledger,
) -> dict[str, Any]:
    """Writes the train and the test file, in the order of the rows; both may be empty.

    Args:
        samples: canonical JSONL.
        clusters: Parquet of ``id`` and ``cluster``, from drop_overlap.py.
        test_ratio: share of the samples that goes to test.
        seed: the config's.
        train: output.
        test: output.
        ledger: an open one; a row of either side is kept.
    Returns:
        Counts of train and test samples, in all and by group.
    Raises:
        DataError: a sample stands in no cluster.
    """
    rows = _read_rows(samples, clusters)
    is_test = choose_test(rows, test_ratio=test_ratio, seed=seed)
    counts: dict[str, Counter[str]] = {"train": Counter(), "test": Counter()}
    with (
        atomic_path(train) as train_part,
        atomic_path(test) as test_part,
        open(train_part, "wb") as train_stream,
        open(test_part, "wb") as test_stream,
    ):
        streams = {"train": train_stream, "test": test_stream}
        for sample, row in zip(read_samples(samples), rows, strict=True):
            ledger.read()
            side = "test" if row.cluster in is_test else "train"
            streams[side].write(sample.to_line())
            counts[side][row.group] += 1
            ledger.keep()
    _report_groups_without_test(counts, test_ratio=test_ratio)
    return _summary(counts)


def _read_rows(samples: Path, clusters: Path) -> list[Row]:
    table = read_parquet(clusters, columns=["id", "cluster"])
    cluster_of = dict(zip(table["id"].to_pylist(), table["cluster"].to_pylist(), strict=True))
    found = [(sample.id, sample.group or NO_GROUP) for sample in read_samples(samples)]
    missing = [sample_id for sample_id, _ in found if sample_id not in cluster_of]
    if missing:
        raise DataError(
            f"{len(missing):,} samples stand in no cluster ({shorten_ids(missing)})",
            where=str(clusters),
            hint="run drop_overlap.py again: it writes clean.jsonl and clusters.parquet together",
        )
    return [Row(sample_id, group, cluster_of[sample_id]) for sample_id, group in found]


def _report_groups_without_test(counts: dict[str, Counter[str]], *, test_ratio: float) -> None:
    for group, num_samples in sorted(counts["train"].items()):
        if test_ratio > 0 and not counts["test"][group]:
            why = "a single sample" if num_samples == 1 else "a single cluster of similar samples"
            _LOG.warning("group '%s' is %s: no test sample, all for training", group, why)


def _summary(counts: dict[str, Counter[str]]) -> dict[str, Any]:
    groups = sorted(counts["train"].keys() | counts["test"].keys())
    return {
        "train": counts["train"].total(),
        "test": counts["test"].total(),
        "groups": {
            group: {"train": counts["train"][group], "test": counts["test"][group]}
            for group in groups
        },
    }


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Writes the counts beside the outputs and one line to the log."""
    write_json(path, summary)
    _LOG.info("%s samples for training, %s for testing", summary["train"], summary["test"])

"""The row ledger over the whole graph: within each step, and from each step to the next."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from sluice.artifact_forms import SPLIT
from sluice.errors import DataError
from sluice.forms import read_artifact
from sluice.ledger import read_ledger
from sluice.report.page.section import Section
from sluice.report.summary import STEPS

# What a file of samples is called, and the step whose ledger tells how many it holds.
_MAKERS = {
    "results/sampled": "sample_responses",
    "results/selected": "select_samples",
    "results/random": "select_random",
}
_ORDER = [*STEPS, "select_random", "sample_responses", "prepare_sft_data", "fine_tune"]


@dataclass(frozen=True)
class Book:
    """The rows of one step and dataset, all shards together."""

    step: str
    dataset: str
    rows_in: int
    rows_kept: int
    rejected: Mapping[str, int]

    @property
    def num_rejected(self) -> int:
        """For whatever reason."""
        return sum(self.rejected.values())

    @property
    def is_balanced(self) -> bool:
        """Whether every row that came in is accounted for."""
        return self.rows_in == self.rows_kept + self.num_rejected


@dataclass(frozen=True)
class Link:
    """Rows that one step handed over to another."""

    giver: str
    taker: str
    dataset: str
    rows_given: int
    rows_taken: int

    @property
    def is_balanced(self) -> bool:
        """Whether all of them arrived, and no others."""
        return self.rows_given == self.rows_taken


def gather_books(ledgers: Iterable[Mapping[str, Any]]) -> list[Book]:
    """The books of each step and dataset in the order of the workflow."""
    rows_in: Counter[tuple[str, str]] = Counter()
    kept: Counter[tuple[str, str]] = Counter()
    rejected: dict[tuple[str, str], Counter[str]] = {}
    for entry in ledgers:
        key = entry["step"], entry["dataset"]
        rows_in[key] += entry["rows_in"]
        kept[key] += entry["rows_kept"]
        rejected.setdefault(key, Counter()).update(entry["rejected"])
    books = [
        Book(step, dataset, rows_in[step, dataset], kept[step, dataset], dict(sorted(why.items())))
        for (step, dataset), why in rejected.items()
    ]
    return sorted(books, key=lambda book: (_place(book.step), book.step, book.dataset))


def gather_links(
    books: Sequence[Book],
    *,
    train_rows: Mapping[str, int],
    adapter_samples: Mapping[str, Sequence[str]],
) -> list[Link]:
    """What each step handed over to the next, where both have books.

    Args:
        books: of gather_books.
        train_rows: training rows of each dataset after its split.
        adapter_samples: the files that each adapter learnt from.
    """
    known = {(book.step, book.dataset): book for book in books}
    links = []
    for dataset in sorted({book.dataset for book in books}):
        for giver, taker in pairwise(STEPS[:3]):
            links += _link(known, (giver, dataset), (taker, dataset))
        for taker in ("collect_router_data", "select_random"):
            if dataset in train_rows and (taker, dataset) in known:
                taken = known[taker, dataset].rows_in
                links.append(Link("split_dataset", taker, dataset, train_rows[dataset], taken))
        links += _link(known, ("collect_router_data", dataset), ("select_samples", dataset))
    links += _merge_link(books, known)
    links += _turn_link(books, adapter_samples)
    for adapter, files in sorted(adapter_samples.items()):
        links += _adapter_link(known, adapter, files)
    return links


def books_section(
    ledger_files: Sequence[Path], splits: Sequence[Path], *, configuration: Mapping[str, Any]
) -> Section | None:
    """The ledger as a section; none where there is no ledger.

    Raises:
        DataError: a row is lost within a step or between two: files of two runs are mixed, or a
            step has a fault.
    """
    if not ledger_files:
        return None
    books = gather_books(read_ledger(path) for path in ledger_files)
    links = gather_links(
        books,
        train_rows={path.parent.name: read_artifact(path, SPLIT)["train"] for path in splits},
        adapter_samples={
            name: entry.get("samples", [])
            for name, entry in configuration.get("adapters", {}).items()
        },
    )
    _check(books, links)
    return Section("books", "Row ledger", {"books": books, "links": links})


def _check(books: Sequence[Book], links: Sequence[Link]) -> None:
    for book in books:
        if not book.is_balanced:
            raise DataError(
                f"{book.step} of {book.dataset}: {book.rows_in:,} rows in are not"
                f" {book.rows_kept:,} kept and {book.num_rejected:,} rejected"
            )
    for link in links:
        if not link.is_balanced:
            raise DataError(
                f"{link.giver} gave {link.rows_given:,} rows of {link.dataset}, but {link.taker}"
                f" read {link.rows_taken:,}",
                hint="the files are of different runs: snakemake -n shows what is stale",
            )


def _place(step: str) -> int:
    return _ORDER.index(step) if step in _ORDER else len(_ORDER)


def _link(
    known: Mapping[tuple[str, str], Book], giver: tuple[str, str], taker: tuple[str, str]
) -> list[Link]:
    if giver not in known or taker not in known:
        return []
    rows = known[giver].rows_kept, known[taker].rows_in
    return [Link(giver[0], taker[0], taker[1], *rows)]


def _merge_link(books: Sequence[Book], known: Mapping[tuple[str, str], Book]) -> list[Link]:
    given = [book.rows_kept for book in books if book.step == "select_samples"]
    merged = known.get(("merge_selected", "all"))
    if not given or merged is None:
        return []
    return [Link("select_samples", "merge_selected", "all", sum(given), merged.rows_in)]


def _turn_link(books: Sequence[Book], adapter_samples: Mapping[str, Sequence[str]]) -> list[Link]:
    """From what the flywheel's turns kept to their trainings, all turns together."""
    given = [book.rows_kept for book in books if book.step == "prepare_sft_data"]
    taken = [
        book.rows_in
        for book in books
        if book.step == "fine_tune" and book.dataset not in adapter_samples
    ]
    if not given or not taken:
        return []
    return [Link("prepare_sft_data", "fine_tune", "all turns", sum(given), sum(taken))]


def _adapter_link(
    known: Mapping[tuple[str, str], Book], adapter: str, files: Sequence[str]
) -> list[Link]:
    """From the steps that made an adapter's samples to its training, where all have books."""
    taker = known.get(("fine_tune", adapter))
    givers = [known.get(_maker(file)) for file in files]
    if taker is None or not givers or not all(givers):
        return []
    rows = sum(giver.rows_kept for giver in givers if giver)
    steps = sorted({giver.step for giver in givers if giver})
    return [Link(", ".join(steps), "fine_tune", adapter, rows, taker.rows_in)]


def _maker(file: str) -> tuple[str, str]:
    """The step and dataset in whose ledger the rows of a file of samples are counted."""
    path = PurePosixPath(file)
    if path == PurePosixPath("results/selected_data.jsonl"):
        return "merge_selected", "all"
    step = _MAKERS.get("/".join(path.parts[:2]), "")
    if step == "sample_responses":
        return (step, path.parts[2]) if path.name == "accepted.jsonl" else ("", "")
    return step, path.stem

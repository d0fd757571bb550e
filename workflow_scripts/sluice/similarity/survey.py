"""What repeats in a file of samples: one pass to sketch it, then a reason for every row to drop."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sluice.errors import DataError, shorten_ids
from sluice.records import locate_samples
from sluice.settings.data import Similarity
from sluice.similarity.boilerplate import Boilerplate
from sluice.similarity.duplicates import (
    Comparison,
    Sketches,
    Texts,
    find_exact_duplicates,
    find_near_duplicates,
    sketch,
    texts_of,
)
from sluice.similarity.overlap import Match, QuestionIndex, find_similar_prompts
from sluice.similarity.text_forms import Bools, Ints, UInts

# Characters that are sketched at once; 16 bytes of work space for each and n-gram.
_CHUNK_CHARS = 1_000_000


@dataclass(frozen=True)
class Rejection:
    """Why a sample is dropped."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Survey:
    """What the first pass holds of every sample, in the order of the file."""

    ids: list[str]
    offsets: list[int]
    exact_keys: UInts
    sketches: Sketches
    is_touched: Bools
    boilerplate: Boilerplate

    def order(self) -> Ints:
        """Indexes in the order of the ids, ``a_2`` before ``a_10``; not the order of the rows."""
        return np.array(
            sorted(range(len(self.ids)), key=lambda index: id_key(self.ids[index])), np.int64
        )


def id_key(sample_id: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts the numbers inside ids as numbers."""
    parts = re.findall(r"\d+|\D+", sample_id)
    return (*((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts),)


def survey_samples(path: Path, *, index: QuestionIndex, settings: Similarity) -> Survey:
    """Reads a file once, in chunks, and keeps of each sample what finds its duplicates.

    Raises:
        DataError: two samples have one id.
    """
    boilerplate = Boilerplate(share=settings.boilerplate_share)
    ids: list[str] = []
    offsets: list[int] = []
    seen: set[int] = set()
    keys: list[int] = []
    sketches, touched = [], []
    for chunk in _chunks(path):
        rows = [texts for _, _, texts in chunk]
        ids.extend(sample_id for sample_id, _, _ in chunk)
        offsets.extend(offset for _, offset, _ in chunk)
        first = {texts.exact_key: texts for texts in reversed(rows) if texts.exact_key not in seen}
        seen.update(first)
        boilerplate.count([texts.parts for texts in first.values()])
        keys.extend(texts.exact_key for texts in rows)
        touched.append(index.touches(rows))
        sketches.append(
            sketch(
                rows,
                ngram=settings.near_duplicate_ngram,
                num_permutations=settings.num_permutations,
            )
        )
    _check_ids(ids, path)
    joined = Sketches.join(sketches, num_permutations=settings.num_permutations)
    is_touched = np.concatenate([np.zeros(0, dtype=bool), *touched])
    exact_keys = np.array(keys, dtype=np.uint64)
    return Survey(ids, offsets, exact_keys, joined, is_touched, boilerplate)


def _chunks(path: Path) -> Iterator[list[tuple[str, int, Texts]]]:
    chunk: list[tuple[str, int, Texts]] = []
    num_chars = 0
    for offset, sample in locate_samples(path):
        texts = texts_of(sample)
        chunk.append((sample.id, offset, texts))
        num_chars += sum(map(len, texts.parts))
        if num_chars >= _CHUNK_CHARS:
            yield chunk
            chunk, num_chars = [], 0
    if chunk:
        yield chunk


def _check_ids(ids: list[str], path: Path) -> None:
    repeated = sorted(each for each, count in Counter(ids).items() if count > 1)
    if repeated:
        raise DataError(
            f"{len(repeated):,} ids stand on several rows ({shorten_ids(repeated)})",
            where=str(path),
            expected="unique ids, as convert_dataset.py writes them",
        )


def find_rejections(
    survey: Survey,
    *,
    index: QuestionIndex,
    compare: Comparison,
    settings: Similarity,
    read: Callable[[int], Texts],
) -> dict[int, Rejection]:
    """Row -> why it is dropped: exact duplicate, else evaluation overlap, else near duplicate."""
    order = survey.order()
    rejections = {
        each.index: Rejection("exact_duplicate", f"of {survey.ids[each.original]}")
        for each in find_exact_duplicates(survey.exact_keys, order=order)
    }
    for row, match in find_matches(
        survey, index=index, compare=compare, settings=settings, read=read
    ).items():
        rejections.setdefault(row, Rejection("evaluation_overlap", match.detail))
    rest = np.array([row for row in order if int(row) not in rejections], dtype=np.int64)
    for each in find_near_duplicates(
        survey.sketches, order=rest, compare=compare, threshold=settings.near_duplicate_threshold
    ):
        detail = f"{each.similarity:.3f} similar to {survey.ids[each.original]}"
        rejections[each.index] = Rejection("near_duplicate", detail)
    return rejections


def find_matches(
    survey: Survey,
    *,
    index: QuestionIndex,
    compare: Comparison,
    settings: Similarity,
    read: Callable[[int], Texts],
) -> dict[int, Match]:
    """Row -> what it shares with an evaluation question."""
    matches: dict[int, Match] = {}
    for row in np.flatnonzero(survey.is_touched):
        match = index.match(read(int(row)), boilerplate=survey.boilerplate)
        if match:
            matches[int(row)] = match
    edited = find_similar_prompts(
        survey.sketches,
        questions=index.questions,
        compare=compare,
        threshold=settings.near_duplicate_threshold,
        ngram=settings.near_duplicate_ngram,
    )
    return {**edited, **matches}

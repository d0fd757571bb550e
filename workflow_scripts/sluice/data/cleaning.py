"""`drop_overlap` from end to end: one pass over the file to sketch it, one to write it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from sluice.data.clusters import find_clusters
from sluice.files import atomic_path
from sluice.ledger import Ledger
from sluice.logs import get_logger
from sluice.records import read_sample_at, read_samples
from sluice.settings.data import DropOverlap
from sluice.similarity.duplicates import Comparison, Texts, texts_of
from sluice.similarity.evaluation_texts import Question
from sluice.similarity.overlap import QuestionIndex
from sluice.similarity.survey import Rejection, Survey, find_rejections, survey_samples
from sluice.similarity.text_forms import Ints
from sluice.tables import write_parquet

_CLUSTER_SCHEMA = pa.schema([("id", pa.string()), ("cluster", pa.string())])
_LOG = get_logger(__name__)


def drop_overlap(
    samples: Path,
    *,
    questions: Sequence[Question],
    settings: DropOverlap,
    output: Path,
    clusters: Path,
    ledger: Ledger,
) -> None:
    """Writes the samples that repeat neither another one nor an evaluation question.

    Args:
        samples: canonical JSONL.
        questions: of the evaluation sets.
        settings: thresholds.
        output: the kept samples, in the order they came.
        clusters: Parquet of ``id`` and ``cluster`` of the kept samples, sorted by id.
        ledger: an open one.
    Raises:
        DataError: two samples have one id.
    """
    index = QuestionIndex(questions, length=settings.overlap_ngram)
    survey = survey_samples(samples, index=index, settings=settings)

    def read(row: int) -> Texts:
        return texts_of(read_sample_at(samples, survey.offsets[row]))

    compare = Comparison(read, boilerplate=survey.boilerplate, ngram=settings.near_duplicate_ngram)
    rejections = find_rejections(survey, index=index, compare=compare, settings=settings, read=read)
    _write_kept(samples, survey, rejections=rejections, output=output, ledger=ledger)
    order = survey.order()
    kept = order[[int(row) not in rejections for row in order]] if len(order) else order
    labels = find_clusters(
        survey.sketches, order=kept, compare=compare, threshold=settings.cluster_threshold
    )
    _write_clusters(clusters, ids=[survey.ids[row] for row in kept], labels=labels)


def _write_kept(
    samples: Path,
    survey: Survey,
    *,
    rejections: dict[int, Rejection],
    output: Path,
    ledger: Ledger,
) -> None:
    with atomic_path(output) as temporary, open(temporary, "wb") as stream:
        for row, sample in enumerate(read_samples(samples)):
            ledger.read()
            rejection = rejections.get(row)
            if rejection is None:
                ledger.keep()
                stream.write(sample.to_line())
                continue
            ledger.reject(
                rejection.reason,
                row=sample.model_dump(exclude_none=True),
                where=survey.ids[row],
                detail=rejection.detail,
            )


def _write_clusters(path: Path, *, ids: list[str], labels: Ints) -> None:
    names = [ids[label] for label in labels]
    write_parquet(path, pa.table({"id": ids, "cluster": names}, _CLUSTER_SCHEMA))
    sizes = np.unique(labels, return_counts=True)[1]
    largest = int(sizes.max(initial=0))
    _LOG.info("%s samples in %s clusters, the largest of %s", len(ids), len(sizes), largest)

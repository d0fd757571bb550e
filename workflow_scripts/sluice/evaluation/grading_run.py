"""A run of grade_answers: answers and their suite in, verdicts and accuracies out."""

from pathlib import Path

from sluice.evaluation.answers import Answer, read_answers, read_suite, write_answers
from sluice.evaluation.grades import (
    accuracies,
    accuracy_table,
    evaluation_results,
    grade_answers,
)
from sluice.files import check_no_folder, write_json
from sluice.logs import get_logger
from sluice.settings.grading import GraderSettings
from sluice.tables import write_csv

logger = get_logger(__name__)


def grade_suite(
    answers: Path,
    samples: Path,
    settings: GraderSettings,
    *,
    subject: str,
    suite: str,
    seed: int,
    graded: Path,
    table: Path,
    results: Path,
) -> None:
    """Grades a file of answers and writes the graded answers, the table and the results.

    Args:
        answers: file of generate_answers.
        samples: the suite, with references.
        settings: of the grader, which judges each answer.
        subject: who answered.
        suite: the suite's name.
        seed: of the bootstrap, where items have several answers.
        graded: graded answers to write, JSONL.
        table: accuracy by group to write, CSV.
        results: everything in short to write, JSON.
    """
    check_no_folder(graded, table, results)
    found = grade_answers(read_answers(answers, Answer), read_suite(samples), settings)
    rows = accuracies(found, seed=seed)
    write_answers(graded, found)
    write_csv(table, accuracy_table(rows))
    write_json(
        results,
        evaluation_results(found, rows, subject=subject, suite=suite, grader=settings.grader),
    )
    overall = rows[-1]
    logger.info(
        "%s on %s: %d items, accuracy %.4f [%.4f, %.4f]",
        subject,
        suite,
        overall.num_items,
        overall.accuracy.value,
        overall.accuracy.low,
        overall.accuracy.high,
    )

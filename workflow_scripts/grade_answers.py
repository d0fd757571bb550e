"""Grades answers to a suite: a verdict an answer, and accuracy by group with 95 % intervals.

python workflow_scripts/grade_answers.py --answers heldout.answers.jsonl --samples heldout.jsonl \
    --grader number --graded heldout.graded.jsonl --table heldout.csv --results heldout.json
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.evaluation import GradeAnswers
from sluice.settings.grading import GraderSettings


class Arguments(GradeAnswers):
    """Grade answers to a suite."""

    answers: Path
    """Answers, from generate_answers.py."""
    samples: Path
    """The suite: canonical samples with a reference, JSONL."""
    subject: str = "model"
    """Who answered, for the results."""
    suite: str = "suite"
    """The suite's name, for the results."""
    graded: Path
    """Graded answers to write, JSONL: the answers' fields, answer, verdict, two hashes."""
    table: Path
    """Accuracy by group to write, CSV: group, n, answers, correct, accuracy, low, high."""
    results: Path
    """Everything in short to write, JSON."""


def main(arguments: Arguments) -> None:
    """Reads, grades, writes."""
    from sluice.evaluation.grading_run import grade_suite

    grade_suite(
        arguments.answers,
        arguments.samples,
        narrow(arguments, GraderSettings),
        subject=arguments.subject,
        suite=arguments.suite,
        seed=arguments.seed,
        graded=arguments.graded,
        table=arguments.table,
        results=arguments.results,
    )


if __name__ == "__main__":
    run(Arguments, main)

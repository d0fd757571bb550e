"""Tabulates LawShift's results: accuracy by change type before and after the change.

python workflow_scripts/evaluate_lawshift.py --graded lawshift.jsonl --subject my_model \
    --table lawshift.csv --page lawshift.md
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.evaluation import EvaluateLawshift


class Arguments(EvaluateLawshift):
    """Tabulate LawShift's results."""

    graded: Path
    """Graded answers to a suite of convert_lawshift.py, from grade_answers.py."""
    labels: Path = Path("resources/lawshift/labels.csv")
    """Change types and their labels, CSV: type, name, label."""
    subject: str = "model"
    """Who answered, for the headline."""
    table: Path
    """Table to write, CSV: a row a change type, shares from 0 to 1."""
    page: Path
    """The same as Markdown, in percent."""


def main(arguments: Arguments) -> None:
    """Reads, counts, writes."""
    from sluice.evaluation.answers import read_answers
    from sluice.evaluation.grades import GradedAnswer
    from sluice.evaluation.lawshift import read_change_types
    from sluice.evaluation.lawshift_report import write_lawshift_report

    write_lawshift_report(
        read_answers(arguments.graded, GradedAnswer),
        read_change_types(arguments.labels),
        subject=arguments.subject,
        seed=arguments.seed,
        table=arguments.table,
        page=arguments.page,
    )


if __name__ == "__main__":
    run(Arguments, main)

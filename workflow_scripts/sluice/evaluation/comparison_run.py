"""A run of compare_models: graded answers of two subjects in, page, numbers and pictures out."""

from collections.abc import Sequence
from pathlib import Path

from sluice.errors import DataError
from sluice.evaluation.answers import read_answers
from sluice.evaluation.comparison_report import (
    comparison_json,
    comparison_summary,
    comparison_table,
    uneven_answers,
)
from sluice.evaluation.grades import OVERALL, GradedAnswer
from sluice.evaluation.pairing import compare_suites, pair_items
from sluice.evaluation.pictures import (
    plot_model_comparison,
    plot_overall_comparison,
    plot_type_comparison,
)
from sluice.figures import save_figure
from sluice.files import write_json, write_text
from sluice.logs import get_logger
from sluice.settings.evaluation import CompareModels
from sluice.tables import write_csv

logger = get_logger(__name__)


def compare_subjects(
    names: tuple[str, str],
    suites: Sequence[str],
    *,
    graded: tuple[Sequence[Path], Sequence[Path]],
    settings: CompareModels,
    folder: Path,
) -> None:
    """Compares two subjects over all suites and writes page, numbers and pictures.

    Args:
        names: of the first and the second.
        suites: their names.
        graded: files of grade_answers of the first and of the second, in the order of the suites.
        settings: the seed.
        folder: where the files go.
    Raises:
        DataError: there is no suite, a file is missing, or the two answered different items.
    """
    first, second = names
    if not suites:
        raise DataError("there is no suite to compare on", hint="name one in config.yaml: suites")
    if {len(files) for files in graded} != {len(suites)}:
        raise DataError(
            f"there are {len(suites)} suites, but {len(graded[0])} and {len(graded[1])} files",
            expected="one file of graded answers a suite, for each of the two",
        )
    pairs = [
        pair_items(suite, *(read_answers(path, GradedAnswer) for path in paths))
        for suite, *paths in zip(suites, *graded, strict=True)
    ]
    rows = compare_suites(pairs, seed=settings.seed)
    table = comparison_table(rows)
    write_csv(folder / "comparison.csv", table, p_values=("p", "p_holm"))
    write_json(folder / "comparison.json", comparison_json(rows, first=first, second=second))
    plots = {
        "model_comparison": plot_model_comparison,
        "overall_accuracy_comparison": plot_overall_comparison,
        "type_accuracy_comparison": plot_type_comparison,
    }
    for name, plot in plots.items():
        save_figure(plot(table, first=first, second=second), folder / f"{name}.png")
    write_text(folder / "summary.md", comparison_summary(rows, first=first, second=second))
    for row in (row for row in rows if row.group == OVERALL):
        logger.info("%s: %s, %+.4f", row.suite, row.finding, row.difference.value)
        uneven = uneven_answers(row, first=first, second=second)
        if uneven:
            logger.warning("%s: %s", row.suite, uneven)

"""Whole runs of the evaluation stage: files in, files out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sluice.engines.engine import Engine
from sluice.errors import DataError
from sluice.evaluation.answers import (
    Answer,
    generate_answers,
    read_answers,
    read_suite,
    write_answers,
)
from sluice.evaluation.comparison_report import (
    comparison_json,
    comparison_summary,
    comparison_table,
)
from sluice.evaluation.grades import (
    OVERALL,
    GradedAnswer,
    accuracies,
    accuracy_table,
    evaluation_results,
    grade_answers,
)
from sluice.evaluation.pairing import compare_suites, pair_items
from sluice.evaluation.pictures import (
    plot_model_comparison,
    plot_overall_comparison,
    plot_type_comparison,
)
from sluice.figures import save_figure
from sluice.files import write_json, write_text
from sluice.grading.grade import Grader
from sluice.logs import get_logger
from sluice.settings.evaluation import CompareModels, GenerateAnswers
from sluice.state import clear_state, open_state
from sluice.tables import write_csv

logger = get_logger(__name__)


def answer_suite(
    samples: Path,
    *,
    load_engine: Callable[[], Engine],
    settings: GenerateAnswers,
    source: Mapping[str, str | None],
    output: Path,
    state_root: Path,
) -> None:
    """Lets an engine answer a suite; a run that was killed goes on where it was.

    Args:
        samples: the suite, canonical samples.
        load_engine: loads what answers; called once the suite is found good.
        settings: how answers are drawn.
        source: what the engine answers with: model, revision and adapter. Those that are local
            folders count by their bytes, the others by their names.
        output: answers to write.
        state_root: where progress of this rule is kept.
    """
    items = read_suite(samples)
    local = {name: Path(value) for name, value in source.items() if value and Path(value).exists()}
    names = {name: value for name, value in source.items() if name not in local}
    state = open_state(
        state_root,
        script="generate_answers",
        settings={**settings.model_dump(), **names},
        inputs=[samples, *local.values()],
    )
    answers = generate_answers(
        load_engine(), items, settings=settings, seed=settings.seed, state=state
    )
    write_answers(output, answers)
    num_cut = sum(answer.finish_reason == "length" for answer in answers)
    logger.info("%d items, %d answers, %d cut off", len(items), len(answers), num_cut)
    clear_state(state)


def grade_suite(
    answers: Path,
    samples: Path,
    grader: Grader,
    *,
    grader_name: str,
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
        grader: judges each answer.
        grader_name: its name, for the results.
        subject: who answered.
        suite: the suite's name.
        seed: of the bootstrap, where items have several answers.
        graded: graded answers to write, JSONL.
        table: accuracy by group to write, CSV.
        results: everything in short to write, JSON.
    """
    found = grade_answers(read_answers(answers, Answer), read_suite(samples), grader)
    rows = accuracies(found, seed=seed)
    write_answers(graded, found)
    write_csv(table, accuracy_table(rows))
    write_json(
        results,
        evaluation_results(found, rows, subject=subject, suite=suite, grader=grader_name),
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
    write_csv(folder / "comparison.csv", table)
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

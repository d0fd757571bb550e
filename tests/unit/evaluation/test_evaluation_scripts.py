"""The scripts as a user calls them, with the real engine on a tiny model."""

import json
import subprocess
import sys
from functools import partial

import pytest
from graded_for_tests import make_item
from lawshift_for_tests import make_lawshift
from support import ROOT
from tiny_models import write_tiny_checkpoint

from sluice.engines.building import make_engine
from sluice.evaluation.answering import answer_suite
from sluice.evaluation.grades import read_accuracy_table
from sluice.evaluation.pictures import plot_subtype_accuracy
from sluice.figures import save_figure
from sluice.records import read_samples, write_samples
from sluice.settings.base import narrow
from sluice.settings.engine import EngineSettings
from sluice.settings.evaluation import GenerateAnswers


def _run(script, *words):
    return subprocess.run(
        [sys.executable, ROOT / "workflow_scripts" / f"{script}.py", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def _run_well(script, *words):
    done = _run(script, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    items = [
        make_item(n, str(n), group="even" if n % 2 == 0 else "odd").model_copy(
            update={"reference": {"answer": str(n)}}
        )
        for n in range(20)
    ]
    # Prompts of many lengths, so that batches hold padding.
    items = [
        item.model_copy(
            update={
                "messages": (
                    item.messages[0].model_copy(update={"content": "Why? " * (n % 7 + 1)}),
                    item.messages[1],
                )
            }
        )
        for n, item in enumerate(items)
    ]
    path = tmp_path_factory.mktemp("suite") / "s.jsonl"
    write_samples(path, items)
    return path


def _answer(folder, *, model, suite, batch_size=128, max_new_tokens=24):
    """Answers through the real engine, in this process: loading torch anew takes seconds."""
    settings = GenerateAnswers(device="cpu", batch_size=batch_size, max_new_tokens=max_new_tokens)
    answer_suite(
        suite,
        load_engine=partial(make_engine, narrow(settings, EngineSettings), model=str(model)),
        settings=settings,
        source={"model": str(model), "revision": None, "adapter": None},
        output=folder / "s.answers.jsonl",
        state_root=folder / "state",
    )
    return folder / "s.answers.jsonl"


def _grade(answers, *, suite):
    folder = answers.parent
    _run_well(
        "grade_answers", "--answers", answers, "--samples", suite, "--subject", "tiny",
        "--suite", "s", "--graded", folder / "s.jsonl", "--table", folder / "s.csv",
        "--results", folder / "s.json",
    )  # fmt: skip
    return folder / "s.jsonl"


@pytest.fixture(scope="module")
def answers(tmp_path_factory, model, suite):
    return _answer(tmp_path_factory.mktemp("answers"), model=model, suite=suite)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_greedy_answers_are_the_same_whatever_the_batch_size(
    tmp_path, model, suite, answers, batch_size
):
    again = _answer(tmp_path, model=model, suite=suite, batch_size=batch_size)
    assert again.read_bytes() == answers.read_bytes()
    texts = {json.loads(line)["completion"] for line in answers.read_bytes().splitlines()}
    assert len(texts) == 7  # one for each prompt


def test_answers_of_the_script_are_those_of_the_library(tmp_path, model, suite, answers):
    _run_well(
        "generate_answers", "--samples", suite, "--model", model, "--max-new-tokens", 24,
        "--output", tmp_path / "a.jsonl", "--state-dir", tmp_path / "state",
    )  # fmt: skip
    assert (tmp_path / "a.jsonl").read_bytes() == answers.read_bytes()


def test_chain_from_answers_to_comparison(tmp_path, answers, suite):
    graded = _grade(answers, suite=suite)
    rows = (answers.parent / "s.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [
        ["even", "10"],
        ["odd", "10"],
        ["overall", "20"],
    ]
    results = json.loads((answers.parent / "s.json").read_text())
    assert (results["subject"], results["suite"], results["grader"]) == ("tiny", "s", "exact")
    better = tmp_path / "better.jsonl"
    lines = [json.loads(line) for line in graded.read_bytes().splitlines()]
    text = "".join(json.dumps({**line, "verdict": "correct"}) + "\n" for line in lines)
    better.write_text(text)
    _run_well(
        "compare_models", "--names", "tiny", "better", "--suites", "s",
        "--first", graded, "--second", better, "--folder", tmp_path / "c",
    )  # fmt: skip
    assert "## s: gain" in (tmp_path / "c" / "summary.md").read_text()
    better.write_text("".join(text.splitlines(keepends=True)[:-2]))
    done = _run(
        "compare_models", "--names", "tiny", "better", "--suites", "s",
        "--first", graded, "--second", better, "--folder", tmp_path / "d",
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("DataError: the two did not answer the same items: 2 only of the")
    assert "s_18, s_19" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "d").exists()


def test_picture_of_subtypes(tmp_path, answers, suite):
    _grade(answers, suite=suite)
    table = answers.parent / "s.csv"
    picture = tmp_path / "a.png"
    _run_well("plot_subtype_accuracy", "--table", table, "--title", "m", "--picture", picture)
    assert picture.stat().st_size > 5000
    figure = plot_subtype_accuracy(read_accuracy_table(table), title="m")
    save_figure(figure, tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == picture.read_bytes()


def test_answers_to_a_suite_that_changed_are_not_graded(tmp_path, answers, suite):
    samples = list(read_samples(suite))
    changed = tmp_path / "s.jsonl"
    write_samples(changed, [*samples[:-1], make_item(19, "19", group="odd")])
    done = _run(
        "grade_answers", "--answers", answers, "--samples", changed, "--graded", tmp_path / "g",
        "--table", tmp_path / "t", "--results", tmp_path / "r",
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("DataError: 1 items were asked another question (s_19)")
    assert not (tmp_path / "g").exists()


def test_output_that_is_a_folder_is_refused_before_anything_is_written(tmp_path, answers, suite):
    done = _run(
        "grade_answers", "--answers", answers, "--samples", suite, "--graded", tmp_path / "s.jsonl",
        "--table", tmp_path / "s.csv", "--results", tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"DataError: {tmp_path} is a folder")
    assert not any(tmp_path.iterdir())


def test_lawshift_from_folder_to_table(tmp_path, model):
    folder = make_lawshift(tmp_path / "LawShift", num_cases=1)
    suite = tmp_path / "law.jsonl"
    _run_well("convert_lawshift", "--folder", folder, "--suite", "law", "--output", suite)
    answers = _answer(tmp_path, model=model, suite=suite, max_new_tokens=2)
    graded = tmp_path / "s.jsonl"
    _run_well(
        "grade_answers", "--answers", answers, "--samples", suite, "--grader", "lawshift",
        "--graded", graded, "--table", tmp_path / "s.csv", "--results", tmp_path / "s.json",
    )  # fmt: skip
    _run_well(
        "evaluate_lawshift", "--graded", graded, "--table", tmp_path / "l.csv",
        "--page", tmp_path / "l.md", "--subject", "tiny",
    )  # fmt: skip
    assert (tmp_path / "l.md").read_text().startswith("# LawShift: tiny\n")
    assert len((tmp_path / "l.csv").read_text().splitlines()) == 33
    (folder / "sbCon_removal" / "poisoned.json").unlink()
    done = _run("convert_lawshift", "--folder", folder, "--output", tmp_path / "x")
    assert done.returncode == 1
    assert done.stderr.startswith("DataError: change type 'sbCon_removal' lacks poisoned.json")
    assert "Traceback" not in done.stderr

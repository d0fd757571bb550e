"""A finished file that is JSON of another form is refused with one error, or shown and noted.

Every kind of artifact that the page, the tracking, a turn or a picture reads back is damaged.
"""

import json

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from damage import damaged, is_refused, to_json, with_odd_values
from jinja2 import FileSystemLoader, StrictUndefined
from report_artifacts import write_lines
from sound_artifacts import KINDS, TEMPLATE, every_name, grade, show, write_artifacts

from sluice.artifact_forms import CURVES
from sluice.errors import DataError
from sluice.files import read_json, write_json
from sluice.forms import read_artifact
from sluice.report.page import assembling, flywheel, training
from sluice.report.score_tables import read_auroc
from sluice.settings.report import Artifacts
from sluice.tracking.gathering import gather_runs

# One of each kind that JSON has, and numbers that no figure can be; fewer than damage.py knows,
# since each needs a page.
VALUES = (None, -1, 10**400, 1e308, "", "\ud800", "a\0b", [], {"a": [None]})


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


@pytest.fixture(autouse=True, scope="module")
def _cheap_pages():
    """Templates are compiled once, and a chart of the same values is drawn once."""
    with pytest.MonkeyPatch.context() as patch:
        shared = assembling.Environment(
            loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        patch.setattr(assembling, "Environment", lambda **options: shared)
        for module, name in ((flywheel, "turn_chart"), (training, "loss_chart")):
            patch.setattr(module, name, _remembered(getattr(module, name)))
        yield


def _remembered(draw):
    known = {}

    def drawn(*values, **options):
        key = repr((values, options))
        if key not in known:
            known[key] = draw(*values, **options)
        return known[key]

    return drawn


JSON_KINDS = [name for name, kind in KINDS.items() if kind.file.endswith((".json", ".jsonl"))]


def _try(read, what):
    try:
        return is_refused(read)
    except Exception as error:
        raise AssertionError(f"{what}: {error!r}") from error


@pytest.mark.parametrize("name", KINDS)
def test_cut_flipped_or_foreign_bytes_raise_nothing_but_our_errors(name, tmp_path):
    write_artifacts(tmp_path)
    path, read = KINDS[name].of(tmp_path)
    assert not is_refused(read)
    num_refused = 0
    # A third of them, since each needs a page.
    for what, content in list(damaged(path.read_bytes()))[::3]:
        path.write_bytes(content)
        num_refused += _try(read, what)
    assert num_refused


@pytest.mark.parametrize("name", JSON_KINDS)
def test_value_that_does_not_belong_raises_nothing_but_our_errors(name, tmp_path):
    write_artifacts(tmp_path)
    path, read = KINDS[name].of(tmp_path)
    first, *rest = (
        path.read_bytes().splitlines(keepends=True)
        if path.suffix == ".jsonl"
        else [path.read_bytes()]
    )
    for document in with_odd_values(json.loads(first), VALUES):
        path.write_bytes(to_json(document) + b"\n" + b"".join(rest))
        _try(read, to_json(document)[:500])


WRONG = {
    "adapters/tuned/metrics.json": ("losses", "losses: Input should be a valid list", "trained"),
    "cats/split.json": ("train", "train: Input should be a valid integer", "split_dataset"),
    "selected/cats.ledger.json": ("rows_in", "rows_in: Input should be a valid integer", "step"),
    "sampled/quiz/sampling_stats.json": ("tokens", "tokens: Input should", "sample_responses"),
    "evaluation/tuned/quiz.evaluation_results.json": ("overall", "overall: Inp", "grade_answers"),
    "comparison/comparison.json": ("rows", "rows: Input should be a valid list", "compare_models"),
    "turn_1/summary.json": ("scale", "scale: Input should be a valid list", "summarize_turn"),
    "turn_1/heldout/simulation_data.json": ("dialogues", "dialogues: Inp", "simulate_dialogues"),
    "turn_1/heldout/evaluation_results.json": ("verdicts", "verdicts: Inp", "judge_responses"),
    "turn_1/judge_calibration.json": ("judges", "judges: Input should", "calibrate_judge"),
}


@pytest.mark.parametrize(("file", "wrong"), WRONG.items())
def test_error_names_the_file_the_key_and_the_step(file, wrong, tmp_path):
    key, fault, step = wrong
    write_artifacts(tmp_path)
    write_json(tmp_path / file, {**read_json(tmp_path / file), key: "x"})
    with pytest.raises(DataError) as error:
        show(tmp_path, every_name())
    assert str(tmp_path / file) in error.value.what
    assert fault in error.value.what
    assert step in error.value.hint


def test_sound_run_is_shown_and_noted(tmp_path):
    write_artifacts(tmp_path)
    (tmp_path / "turn_1/sft_train.ledger.json").unlink()
    show(tmp_path, every_name())


def _change(path, change):
    values = read_json(path)
    change(values)
    write_json(path, values)


ASTRAY = {
    "verdict of a dialogue that is not there": (
        "turn_1/heldout/evaluation_results.json",
        lambda values: values["verdicts"][0].update(dialogue_id="nobody"),
        "verdicts of nothing: nobody:0",
    ),
    "verdict without its mean": (
        "turn_1/heldout/evaluation_results.json",
        lambda values: values["verdicts"][0].update(mean=None),
        r"lack a dimension or their mean.*\(up:0\)",
    ),
    "score off the scale": (
        "turn_1/heldout/evaluation_results.json",
        lambda values: values["verdicts"][1].update(scores={"accuracy": 50}),
        r"leave the scale \(down:0\)",
    ),
    "losses and steps of another number": (
        "adapters/tuned/metrics.json",
        lambda values: values["eval_steps"].pop(),
        "eval_losses: 2 values, expected 1",
    ),
    "best loss of no step": (
        "adapters/tuned/metrics.json",
        lambda values: values.update(best_step=None),
        "best_step: a best loss is there without its step",
    ),
    "dimension without a score": (
        "turn_1/summary.json",
        lambda values: values["dimensions"].append("wit"),
        "scores.wit: no estimate",
    ),
    "turn before without a score": (
        "turn_1/summary.json",
        lambda values: values["trajectory"][0].pop("accuracy"),
        "trajectory.0.accuracy: no estimate",
    ),
    "difference without the mean": (
        "turn_1/summary.json",
        lambda values: values["against"][0]["differences"].pop("mean"),
        "against.0.differences.mean: Field required",
    ),
    "verdicts without a dimension": (
        "turn_1/heldout/evaluation_results.json",
        lambda values: (
            values.update(dimensions=[]),
            [verdict.update(scores={}) for verdict in values["verdicts"]],
        ),
        "dimensions: Tuple should have at least 1 item",
    ),
    "measure that stands twice": (
        "turn_1/judge_calibration.json",
        lambda values: values["measures"].append(values["measures"][0]),
        "measures.2: too many rows of flip_rate",
    ),
    "value without its interval": (
        "turn_1/judge_calibration.json",
        lambda values: values["measures"][0].update(low=None),
        "measures.0: a value is there without its interval",
    ),
}


@pytest.mark.parametrize(("file", "change", "fault"), ASTRAY.values(), ids=list(ASTRAY))
def test_what_does_not_fit_together_is_named(file, change, fault, tmp_path):
    write_artifacts(tmp_path)
    _change(tmp_path / file, change)
    with pytest.raises(DataError, match=fault):
        show(tmp_path, every_name())


def test_evaluation_without_its_answers_is_named(tmp_path):
    write_artifacts(tmp_path)
    (tmp_path / "evaluation/base/quiz.jsonl").unlink()
    with pytest.raises(DataError, match=r"base/quiz\.jsonl does not exist"):
        show(tmp_path, ("evaluations", "comparisons"))


def test_damaged_line_of_answers_is_named(tmp_path):
    write_artifacts(tmp_path)
    path = tmp_path / "evaluation/base/quiz.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    del rows[2]["verdict"]
    write_lines(path, rows)
    with pytest.raises(DataError, match=r"line 3 of .*quiz\.jsonl is no graded answer: verdict"):
        show(tmp_path, ("evaluations", "comparisons"))


def test_answer_without_a_grade_mark_cannot_be_calibrated(tmp_path):
    write_artifacts(tmp_path)
    path = tmp_path / "turn_1/train/simulation_data.json"
    _change(path, lambda values: values["dialogues"][1]["exchanges"][0].update(reference="4"))
    with pytest.raises(DataError, match=r"dialogues\.1\.exchanges\.0\.is_cut_off"):
        grade(tmp_path)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_endless_score_of_a_sample_is_named(kind, tmp_path):
    write_artifacts(tmp_path)
    table = pd.read_parquet(tmp_path / "scores.parquet")
    table["quality"] = table["quality"].astype(kind)
    table.loc[2, "quality"] = float("inf")
    table.to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(DataError, match=r"scores\.parquet: the column quality holds no numbers"):
        show(tmp_path, ("selected", "scores"))


@pytest.mark.parametrize("name", ["NA", "None", "null", "7"])
def test_flaw_named_like_a_missing_value_or_a_number_stays_a_name(name, tmp_path):
    write_artifacts(tmp_path)
    table = pd.read_csv(tmp_path / "auroc.csv").replace("cut_off", name)
    table.to_csv(tmp_path / "auroc.csv", index=False)
    assert list(read_auroc([tmp_path / "auroc.csv"])["flaw"]) == ["all", name]


@pytest.mark.parametrize(
    "messages", [[{"from": "human", "value": "hi"}], {"role": "user"}, [1], "x", None]
)
def test_rejected_row_with_odd_messages_is_shown_as_text(messages, tmp_path):
    write_artifacts(tmp_path)
    row = {"reason": "bad_json", "where": "1", "detail": "", "row": {"messages": messages}}
    write_lines(tmp_path / "data/samples.rejected.jsonl", [row])
    show(tmp_path, ("ledgers", "selected"))


def test_rejected_row_whose_reason_has_no_count_is_named(tmp_path):
    write_artifacts(tmp_path)
    row = {"reason": "too_late", "where": "1", "detail": "", "row": {}}
    write_lines(tmp_path / "data/samples.rejected.jsonl", [row])
    with pytest.raises(DataError, match=r"line 1 of .*rejected\.jsonl .* does not count it"):
        show(tmp_path, ("ledgers", "selected"))


def test_log_of_another_name_is_refused(tmp_path):
    write_artifacts(tmp_path)
    (tmp_path / "adapters/tuned/metrics.json").rename(tmp_path / "log.json")
    with pytest.raises(DataError, match="has not the name of a training's log"):
        gather_runs(Artifacts(trainings=(tmp_path / "log.json",)))


def test_values_come_back_as_they_stand(tmp_path):
    """Whole numbers stay whole, and keys without a form stay there: pages show them."""
    values = {"losses": [1, 0.5], "more": {"a": [1, None]}}
    write_json(tmp_path / "metrics.json", values)
    assert to_json(read_artifact(tmp_path / "metrics.json", CURVES)) == to_json(values)

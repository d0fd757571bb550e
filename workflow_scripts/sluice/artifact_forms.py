"""The forms of final artifacts: what the report, the tracking and the turns read back."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from sluice.forms import LARGEST, Count, Form, Name, Number
from sluice.records import check_storable

MEAN, GOOD_SHARE = "mean", "good_share"


def _check_plain(values: dict[str, Any]) -> dict[str, Any]:
    check_storable(values)
    return values


_Plain = Annotated[dict[str, Any], AfterValidator(_check_plain)]
"""Settings: finite, and not nested too deeply to be laid flat."""
_Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]
_Series = Annotated[list[Number], Field(min_length=1)]


class Curves(TypedDict):
    """The log of any training; gates have losses only."""

    losses: _Series
    learning_rates: NotRequired[list[Number]]
    eval_steps: NotRequired[list[Count]]
    eval_losses: NotRequired[list[Number]]
    best_step: NotRequired[Count | None]
    best_eval_loss: NotRequired[Number | None]
    num_samples: NotRequired[Count | None]
    num_tokens: NotRequired[Count]
    num_target_tokens: NotRequired[Count]


class DrawnCurves(TypedDict):
    """What the picture of one training shows."""

    losses: _Series
    learning_rates: list[Number]
    eval_steps: list[Count]
    eval_losses: list[Number]
    eval_bits_per_byte: NotRequired[list[Number]]
    best_step: NotRequired[Count | None]


class FineTuning(TypedDict):
    """What a turn's summary repeats of its fine-tuning."""

    method: Name
    num_samples: Count
    num_held_out: Count
    num_steps: Count
    best_step: Count | None
    best_eval_loss: Number | None
    last_tenth_loss: Number


class Sampling(TypedDict):
    """sampling_stats.json."""

    generated: Count
    accepted: Count
    tokens: Count
    pass_at_k: dict[str, Number]
    settings: _Plain


class _Accuracy(TypedDict):
    n: Count
    answers: Count
    accuracy: Number
    low: Number
    high: Number


class _GroupAccuracy(_Accuracy):
    group: Name | None


class _CommonestAnswer(TypedDict):
    answer: str
    share: Number


class EvaluationResults(TypedDict):
    """{suite}.evaluation_results.json."""

    subject: Name
    # The name of a file, too.
    suite: Annotated[Name, Field(max_length=100)]
    overall: _Accuracy
    groups: list[_GroupAccuracy]
    verdicts: dict[str, Count]
    commonest_answer: _CommonestAnswer | None
    mean_tokens: Number


class _Message(TypedDict):
    role: str
    content: str


class ShownAnswer(TypedDict):
    """A line of {suite}.jsonl, as far as the page shows it."""

    id: str
    group: str | None
    prompt: list[_Message]
    completion: str
    verdict: str


class ComparisonRow(TypedDict):
    """One suite and group, both subjects on the same items."""

    suite: Annotated[Name, Field(max_length=100)]
    group: Name
    n: Count
    answers_a: NotRequired[Count]
    answers_b: NotRequired[Count]
    difference: Number
    difference_low: Number
    difference_high: Number
    only_a: Count
    only_b: Count
    p_holm: Number
    finding: Name


class Comparison(TypedDict):
    """comparison.json."""

    a: Name
    b: Name
    test: Name
    interval: Name
    rows: Annotated[list[ComparisonRow], Field(min_length=1)]


class _Estimate(TypedDict):
    value: Number
    low: Number
    high: Number


class _Difference(_Estimate):
    wins: Count
    ties: Count
    losses: Count
    p: Number | None
    finding: Name


class Against(TypedDict):
    """A turn against an earlier one."""

    turn: Count
    num_dialogues: Count
    differences: dict[Name, _Difference]


class _Shift(TypedDict):
    feature: Name
    distance: Number
    p_value: NotRequired[Number | None]
    is_shifted: bool
    whole: NotRequired[dict[Name, Number]]
    kept: NotRequired[dict[Name, Number]]


class Shifts(TypedDict):
    """sft_train.shift.json."""

    features: list[_Shift]


class _KeptRows(TypedDict):
    rows_in: Count
    rows_kept: Count
    rejected: dict[str, Count]


class _TurnTraining(TypedDict):
    ledger: _KeptRows
    shifts: list[_Shift]


class TurnSummary(TypedDict):
    """summary.json of a turn."""

    turn: Count
    model: Name
    evaluator: Name
    interval: Name
    dimensions: list[Name]
    scale: _Pair
    settings: _Plain
    scores: dict[str, Any]
    against: list[Against]
    trajectory: Annotated[list[dict[str, Any]], Field(min_length=1)]
    training: _TurnTraining | None
    spending: dict[str, dict[str, Number | str | None]]


class _ExaminedJudge(TypedDict):
    model: Name
    families_shared_with_the_model: list[Name]


class CalibrationRow(TypedDict):
    """One measure of one judge."""

    judge: Literal["judge", "evaluator", "both"]
    measure: Name
    value: Number | None
    low: Number | None
    high: Number | None
    n: Count
    status: Name


class Calibration(TypedDict):
    """judge_calibration.json."""

    judges: dict[Name, _ExaminedJudge]
    measures: Annotated[list[CalibrationRow], Field(min_length=1)]


class Split(TypedDict):
    """split.json."""

    train: Count


class _Adapter(TypedDict):
    model: NotRequired[str]
    samples: NotRequired[list[str]]


class _Suite(TypedDict):
    samples: NotRequired[str | None]


class _Task(TypedDict):
    prompts: NotRequired[str]


class _Data(TypedDict):
    evaluation_texts: NotRequired[list[str]]


class Configuration(TypedDict):
    """What was configured; only what differs from the defaults stands in it."""

    adapters: NotRequired[dict[str, _Adapter]]
    suites: NotRequired[dict[str, _Suite]]
    tasks: NotRequired[dict[str, _Task]]
    data: NotRequired[_Data]
    selection: NotRequired[dict[str, Any]]


class _TurnRow(TypedDict):
    turn: Count
    num_dialogues: Count


_ESTIMATE = Form(_Estimate, "estimate", "summarize_turn")
_TURN_ROW = Form(_TurnRow, "row of a trajectory", "summarize_turn")


def measures_of(turn: Mapping[str, Any]) -> list[str]:
    """The names of all scores that a turn's summary estimates."""
    return [MEAN, *turn["dimensions"], GOOD_SHARE]


def _curve_fault(values: Mapping[str, Any]) -> str | None:
    num_steps, num_evaluations = len(values["losses"]), len(values.get("eval_steps", ()))
    expected = {"learning_rates": num_steps, "eval_bits_per_byte": num_evaluations}
    # Gates note losses alone, adapters no bits.
    expected = {key: number for key, number in expected.items() if key in values}
    for key, number in {**expected, "eval_losses": num_evaluations}.items():
        found = len(values.get(key, ()))
        if found != number:
            return f"{key}: {found:,} values, expected {number:,}"
    if values.get("best_eval_loss") is not None and values.get("best_step") is None:
        return "best_step: a best loss is there without its step"
    return _number_fault(values)


def _number_fault(values: Mapping[str, Any]) -> str | None:
    """The tracking notes every number that stands at the top, also those that have no form."""
    for key, value in values.items():
        if isinstance(value, int | float) and abs(value) > LARGEST:
            return f"{key}: Input should be at most {LARGEST:g}"
    return None


def _turn_fault(turn: TurnSummary) -> str | None:
    rows = {f"trajectory.{number}": row for number, row in enumerate(turn["trajectory"])}
    for place, row in {"scores": turn["scores"], **rows}.items():
        for measure in measures_of(turn):
            if not _ESTIMATE.fits(row.get(measure)):
                return f"{place}.{measure}: no estimate with value, low and high"
    for place, row in rows.items():
        if not _TURN_ROW.fits(row):
            return f"{place}: turn or num_dialogues is no count"
    for number, against in enumerate(turn["against"]):
        if MEAN not in against["differences"]:
            return f"against.{number}.differences.{MEAN}: Field required"
    return None


def _calibration_fault(values: Calibration) -> str | None:
    known: dict[str, set[str]] = {}
    for number, row in enumerate(values["measures"]):
        judges = known.setdefault(row["measure"], set())
        if row["judge"] in judges or len(judges) > 1:
            return f"measures.{number}: too many rows of {row['measure']}"
        judges.add(row["judge"])
        if row["value"] is not None and None in (row["low"], row["high"]):
            return f"measures.{number}: a value is there without its interval"
    return None


def _configuration_fault(values: Any) -> str | None:
    try:
        check_storable(values)
    except ValueError as error:
        return str(error)
    return None


CURVES = Form(Curves, "log of a training", "the step that trained", _curve_fault)
DRAWN_CURVES = Form(DrawnCurves, "log of a training", "fine_tune or train_base_model", _curve_fault)
FINE_TUNING = Form(FineTuning, "log of a fine-tuning", "fine_tune")
SAMPLING = Form(Sampling, "statistics of a sampling", "sample_responses", _number_fault)
EVALUATION_RESULTS = Form(EvaluationResults, "result of an evaluation", "grade_answers")
SHOWN_ANSWER = Form(ShownAnswer, "graded answer", "grade_answers")
COMPARISON = Form(Comparison, "comparison of two models", "compare_models")
TURN_SUMMARY = Form(TurnSummary, "summary of a turn", "summarize_turn", _turn_fault)
SHIFTS = Form(Shifts, "table of shifts", "prepare_sft_data")
CALIBRATION = Form(Calibration, "calibration of judges", "calibrate_judge", _calibration_fault)
SPLIT = Form(Split, "count of a split", "split_dataset")
CONFIGURATION = Form(Configuration, "valid configuration", None, _configuration_fault)

"""The grader `lawshift`: every label and split, at the bounds of every rule."""

import pytest

from sluice.errors import GradingError
from sluice.grading.choosing import make_grader
from sluice.grading.lawshift import LABELS, SPLITS
from sluice.settings.grading import GraderSettings

VERDICTS = ("NV", "V | 0", "V | 35", "V | 36", "V | 37", "V | 119", "V | 120", "V | 121", "V | XT")

# split, label -> the verdicts above that are right.
RIGHT = {
    ("original", "V"): VERDICTS[1:],
    ("original", "NV"): VERDICTS[1:],
    ("original", "TU"): VERDICTS[3:7],
    ("original", "TD"): VERDICTS[3:7],
    ("original", "XT"): VERDICTS[3:7],
    ("original", "NX"): ("V | XT",),
    ("poisoned", "V"): VERDICTS[1:],
    ("poisoned", "NV"): ("NV",),
    ("poisoned", "TU"): ("V | 120", "V | 121"),
    ("poisoned", "TD"): ("V | 0", "V | 35", "V | 36"),
    ("poisoned", "XT"): ("V | XT",),
    ("poisoned", "NX"): VERDICTS[3:8],
}


def _grade(completion, label="V", split="original", **kwargs):
    grader = make_grader(GraderSettings(grader="lawshift"))
    return grader(completion, {"label": label, "split": split}, **kwargs)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("verdict", VERDICTS)
def test_verdict_is_right_as_the_rules_of_label_and_split_say(label, split, verdict):
    grade = _grade(f"<think>V | 40?</think>理由。\n<answer> {verdict} </answer>", label, split)
    assert grade.answer == verdict
    assert grade.verdict == ("correct" if verdict in RIGHT[split, label] else "wrong")


@pytest.mark.parametrize(
    ("completion", "verdict"),
    [
        ("<answer> V | 3年 </answer>", "correct"),
        ("V | 无期徒刑", "correct"),
        ("<answer> 不违规 </answer>", "wrong"),
        ("<think><answer> V | 40 </answer></think>I cannot say.", "only_in_reasoning"),
        ("<answer> V | 40 </answer> <answer> NV </answer>", "conflicting_answers"),
        ("<answer> V | 40 </answer> <answer> V | 41 </answer>", "conflicting_answers"),
        ("<answer> NV | 3 </answer>", "malformed"),
        ("<answer> V </answer>", "malformed"),
        ("<answer> V | 刑期 </answer>", "malformed"),
        ("The accused did it.", "no_answer"),
        ("", "no_answer"),
    ],
)
def test_other_answers_have_the_verdicts_of_all_graders(completion, verdict):
    assert _grade(completion).verdict == verdict


def test_completion_that_was_cut_off_does_not_count():
    assert _grade("<answer> V | 4", is_cut_off=True).verdict == "cut_off"


@pytest.mark.parametrize(
    ("reference", "what"),
    [
        ({"split": "original"}, "has no 'label'"),
        ({"label": "V"}, "has no 'split'"),
        ({"label": "T1.1", "split": "original"}, "'label' is 'T1.1'"),
        ({"label": "V", "split": "Original"}, "'split' is 'Original'"),
    ],
)
def test_reference_without_known_label_and_split_is_refused(reference, what):
    grader = make_grader(GraderSettings(grader="lawshift"))
    with pytest.raises(GradingError, match=what):
        grader("NV", reference)

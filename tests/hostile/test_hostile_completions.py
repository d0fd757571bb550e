"""Graders and a hundred thousand hostile characters: a verdict, in time that grows as the text."""

import contextlib
import json
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT

from sluice.errors import ConfigError, GradingError
from sluice.grading.choosing import make_grader
from sluice.grading.grade import Grade
from sluice.grading.regex import RegexGrader
from sluice.settings.grading import GraderSettings

_LAW = {"charge": "盗窃罪", "prison_time": 36}
# Grader -> its choices and a reference.
GRADERS = {
    "exact": ({}, {"answer": "Paris"}),
    "number": ({}, {"answer": "1234"}),
    "label": ({"labels": ["real defect", "疑似误报"]}, {"answer": "疑似误报"}),
    "regex": ({"pattern": r"Result: (\w+)"}, {"answer": "red"}),
    "legal_judgment": ({}, _LAW),
    "legal_verdict": ({}, _LAW),
    "lawshift": ({}, {"label": "V", "split": "original"}),
}
_TAGS = ["<think>", "</think>", "<answer>", "</answer>", "<answer>V|", "\\boxed{", "{", "}"]
_MARKS = ["####", "#### ", "A:", "Answer: ", "the answer is ", "Result: ", "\\frac{1}{", "\\("]
_SIGNS = ["|", "V ", "nv|", "*", "_", "`", "1,", "1", "9", "1/", "-", "$", "US$", "=", "."]
_WORDS = ["罪", "年", "3年", "real ", "real defect", "疑似", "死刑", " and ", "usd "]
_SPACES = [
    " ",
    "\n",
    "\t",
    " \n",
    "\r",
    "\u2028",
    "\u200b",
    "\0",
    "\ud800",
    "\ufdfa",
    "½",
    "\u0338",
]
UNITS = [*_TAGS, *_MARKS, *_SIGNS, *_WORDS, *_SPACES]
_SIZE = 100_000
# These texts took a grader 1 to 5 s (2026-11-27).
_TIME_LIMIT_S = 300

_GRADE_ALL = """
import json, sys
from sluice.grading.choosing import make_grader
from sluice.settings.grading import GraderSettings
name, choices, reference, units, size = json.load(sys.stdin)
grader = make_grader(GraderSettings(grader=name, **choices))
verdicts = set()
for unit in units:
    for start, end in (("", ""), ("#### 1", ""), ("<answer>", "</answer>"), ("\\\\boxed{", "}")):
        verdicts.add(grader(start + unit * (size // len(unit)) + end, reference).verdict)
json.dump(sorted(verdicts), sys.stdout)
"""


@pytest.mark.parametrize("name", GRADERS)
def test_repeated_text_of_any_kind_gets_a_verdict_and_is_never_right(name):
    done = subprocess.run(
        [sys.executable, "-c", _GRADE_ALL],
        input=json.dumps([name, *GRADERS[name], UNITS, _SIZE]),
        capture_output=True,
        text=True,
        timeout=_TIME_LIMIT_S,
        cwd=ROOT / "workflow_scripts",
    )
    assert done.returncode == 0, done.stderr
    verdicts = set(json.loads(done.stdout))
    right = {"correct"} if name in ("legal_verdict", "lawshift") else set()
    assert verdicts
    assert not verdicts & {"correct"} - right


_REFERENCE_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside),
    max_leaves=5,
)
_KEYS = st.sampled_from(["answer", "charge", "prison_time", "label", "split", "other"])


@pytest.mark.parametrize("name", GRADERS)
@settings(deadline=None, max_examples=150)
@given(reference=st.dictionaries(_KEYS, _REFERENCE_VALUES), text=st.text(max_size=50))
def test_reference_of_any_form_is_refused_or_compared(name, reference, text):
    grader = make_grader(GraderSettings(grader=name, **GRADERS[name][0]))
    with contextlib.suppress(GradingError):
        assert isinstance(grader(text, reference), Grade)


@pytest.mark.parametrize(
    "value", [10**4000, 1e308, float("nan"), float("inf"), "9" * 10**5], ids=range(5)
)
@pytest.mark.parametrize("name", GRADERS)
def test_number_of_any_size_is_refused_or_compared(name, value):
    # Readers refuse whole numbers of more than 4,300 digits.
    grader = make_grader(GraderSettings(grader=name, **GRADERS[name][0]))
    reference = dict.fromkeys(["answer", "charge", "prison_time", "label", "split"], value)
    with contextlib.suppress(GradingError):
        assert grader("#### 1", reference).verdict != "correct"


def test_pattern_that_backtracks_without_end_is_stopped():
    grader = RegexGrader(r"(a+)+$", time_limit_s=0.5)
    began = time.process_time()
    with pytest.raises(GradingError, match=r"for more than 0.5 s") as caught:
        grader("a" * 100_000 + "b", {"answer": "a"})
    assert time.process_time() > began
    assert "(a+)+" in caught.value.hint


@pytest.mark.parametrize("pattern", ["(" * 5000 + "a" + ")" * 5000, "(?:" * 5000, "[[[", "(\\"])
def test_pattern_that_cannot_be_read_is_refused_in_short(pattern):
    with pytest.raises(ConfigError, match="which is no regular expression") as caught:
        RegexGrader(pattern)
    assert len(str(caught.value)) < 400

"""References and settings that no grader can use are errors that say which key and what to do."""

import pickle

import pytest

from sluice.errors import ConfigError, GradingError
from sluice.grading.choosing import make_grader
from sluice.grading.regex import RegexGrader
from sluice.settings.grading import GraderSettings

SETTINGS = {
    "exact": {},
    "number": {},
    "label": {"labels": ("good", "bad")},
    "regex": {"pattern": "(x)"},
    "legal_judgment": {},
    "legal_verdict": {},
}


def _grader(name):
    return make_grader(GraderSettings(grader=name, **SETTINGS[name]))


def _term(imprisonment=0, death=False, life=False):
    return {"imprisonment": imprisonment, "death_penalty": death, "life_imprisonment": life}


@pytest.mark.parametrize("completion", ["", "good", "<think>"])
@pytest.mark.parametrize("name", ["exact", "number", "label", "regex"])
@pytest.mark.parametrize("reference", [{}, {"answer": None}, {"judgement": "good"}])
def test_missing_answer_names_the_key_and_the_keys_that_are_there(name, reference, completion):
    with pytest.raises(GradingError) as caught:
        _grader(name)(completion, reference)
    assert caught.value.what == (
        f"the reference has no 'answer', which the grader '{name}' compares with"
    )
    assert ("'judgement'" if "judgement" in reference else "") in caught.value.hint
    assert caught.value.expected.startswith("'answer': ")


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        *(
            (name, value)
            for name in ("exact", "regex")
            for value in ("", " \n", "\u200b", True, 1.5, ["a"], {"a": 1})
        ),
        *(("label", value) for value in ("", "ugly", "go", "good bad", True, 3, ["good"])),
        *(
            ("number", value)
            for value in ("", "x", "1 234", "1,23", "3 eggs", "#### 3", "1/0", "10²", "1e3", "--3")
        ),
        *(("number", value) for value in (True, [3], {}, float("nan"), float("inf"), 1e30)),
        ("number", "9" * 101),
    ],
)
def test_illegal_answer_is_named_with_its_value(name, answer):
    with pytest.raises(GradingError, match="the reference's 'answer' is ") as caught:
        _grader(name)("good", {"answer": answer})
    assert caught.value.expected
    assert "'answer'" in caught.value.hint
    assert len(caught.value.what) < 200


def test_illegal_label_names_the_legal_ones():
    with pytest.raises(GradingError, match="'ugly'") as caught:
        _grader("label")("good", {"answer": "ugly"})
    assert caught.value.expected == "one of: good, bad"


@pytest.mark.parametrize(
    ("answer", "completion"),
    [
        (18, "#### 18"),
        (-3, "#### -3"),
        (2.50, "#### 2.5"),
        ("1,234.50", "#### 1234.5"),
        ("$5", "#### 5"),
        ("50 %", "#### 50"),
        (" \u22125. ", "#### -5"),
        ("１８", "#### 18"),
        ("3/4", "#### 0.75"),
        ("\\frac{3}{4}", "#### 3/4"),
        ("9" * 100, "#### " + "9" * 100),
    ],
)
def test_legal_numbers(answer, completion):
    assert _grader("number")(completion, {"answer": answer}).is_correct


@pytest.mark.parametrize("name", ["legal_judgment", "legal_verdict"])
@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ({}, "charge"),
        ({"prison_time": 3}, "charge"),
        ({"charge": None, "prison_time": 3}, "charge"),
        ({"charge": "theft"}, "prison_time"),
        ({"charge": "theft", "prison_time": None}, "prison_time"),
    ],
)
def test_missing_key_of_a_case_is_named(name, reference, key):
    with pytest.raises(GradingError, match=f"has no '{key}', which the grader '{name}'") as caught:
        _grader(name)("NV", reference)
    assert caught.value.expected.startswith(f"'{key}': ")


@pytest.mark.parametrize("name", ["legal_judgment", "legal_verdict"])
@pytest.mark.parametrize(
    ("charge", "term", "key"),
    [
        ("", 3, "charge"),
        (" 。", 3, "charge"),
        (7, 3, "charge"),
        (["theft"], 3, "charge"),
        *(
            ("theft", term, "prison_time")
            for term in (-1, 100_000, 3.0, True, "", "x", "三年", "-3")
        ),
        *(("theft", term, "prison_time") for term in ("NV", [3], {}, {"imprisonment": "3"})),
        ("theft", _term(imprisonment=True), "prison_time"),
        ("theft", _term(imprisonment=-1), "prison_time"),
        ("theft", _term(imprisonment=None), "prison_time"),
        ("theft", _term(imprisonment=3, death="no"), "prison_time"),
        ("theft", _term(imprisonment=3, life=1), "prison_time"),
        ("NV", 3, "prison_time"),
        ("不违规", "XT", "prison_time"),
        ("NV", _term(imprisonment=3), "prison_time"),
        ("NV", -1, "prison_time"),
    ],
)
def test_illegal_value_of_a_case_is_named(name, charge, term, key):
    with pytest.raises(GradingError, match=f"the reference's '{key}' is ") as caught:
        _grader(name)("NV", {"charge": charge, "prison_time": term})
    assert caught.value.expected
    assert f"'{key}'" in caught.value.hint


@pytest.mark.parametrize(
    ("charge", "term", "verdict"),
    [
        ("theft", 36, "V | 36"),
        ("theft", "36", "V | 36"),
        ("theft", "３６", "V | 36"),
        ("theft", "36个月", "V | 36"),
        ("theft", "3年", "V | 36"),
        ("theft", 0, "V | 0"),
        ("theft", _term(imprisonment=36), "V | 36"),
        ("theft", {"imprisonment": 36}, "V | 36"),
        *(("theft", term, "V | XT") for term in ("XT", "xt", "死刑", "无期徒刑", "death", "life")),
        ("theft", _term(death=True), "V | XT"),
        ("theft", _term(imprisonment=36, life=True), "V | XT"),
        ("theft", {"death_penalty": True}, "V | XT"),
        *(("NV", term, "NV") for term in (None, 0, "0", "NV", "不违规", _term())),
        ("不违规", None, "NV"),
        ("ＮＶ", None, "NV"),
    ],
)
def test_legal_cases(charge, term, verdict):
    reference = {"charge": charge, "prison_time": term}
    assert _grader("legal_verdict")(verdict, reference).is_correct
    judgment = verdict.replace("V |", "theft |")
    assert _grader("legal_judgment")(f"<answer> {judgment} </answer>", reference).is_correct


# -- settings


def test_exact_is_the_default():
    assert make_grader(GraderSettings())("x", {"answer": "x"}).is_correct


@pytest.mark.parametrize(
    ("settings", "what", "hint"),
    [
        ({"grader": "label"}, "'labels' is []", "labels: [缺陷真实存在, 疑似误报]"),
        ({"grader": "label", "labels": ["a"]}, "'labels' is ['a']", "labels: "),
        ({"grader": "label", "labels": ["a", " "]}, "'labels' is ['a', ' ']", "labels: "),
        ({"grader": "label", "labels": ["a", "Ａ"]}, "'labels' is ['a', 'Ａ']", "labels: "),
        ({"grader": "regex"}, "the grader 'regex' has no 'pattern'", "pattern: "),
        ({"grader": "regex", "pattern": "("}, "'(', which is no regular expression", "pattern: "),
        ({"grader": "regex", "pattern": "x"}, "which has 0 groups", "(?:...)"),
        ({"grader": "regex", "pattern": "(a)(b)"}, "which has 2 groups", "(?:...)"),
        ({"labels": ["a", "b"]}, "'labels' is set, but the grader is 'exact'", "grader: label"),
        ({"grader": "number", "pattern": "(x)"}, "'pattern' is set, but", "grader: regex"),
    ],
)
def test_grader_without_what_it_needs_is_a_config_error(settings, what, hint):
    with pytest.raises(ConfigError) as caught:
        make_grader(GraderSettings(**settings))
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_pattern_that_backtracks_without_end_is_an_error_not_a_verdict():
    grader = RegexGrader(r"((?:a|aa|aaa)+)$", time_limit_s=0.2)
    with pytest.raises(GradingError, match=r"for more than 0\.2 s") as caught:
        grader("a" * 200 + "!", {"answer": "a"})
    assert "repeated groups" in caught.value.hint


@pytest.mark.parametrize("name", SETTINGS)
def test_graders_can_be_sent_to_other_processes(name):
    grader = pickle.loads(pickle.dumps(_grader(name)))
    reference = {"answer": "good"}
    if name == "label":
        assert grader("Good", reference).is_correct
    else:
        assert callable(grader)

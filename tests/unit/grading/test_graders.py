"""Every grader against its table of cases, in ``cases/<grader>.json``.

A table holds the verdicts that its grader can give, the settings, and cases: why, completion (text,
or parts of which ``[text, n]`` stands n times), reference, is_cut_off, verdict and answer; settings
of a case replace the table's.
"""

import json
from pathlib import Path
from typing import get_args

import pytest

from sluice.grading.choosing import make_grader
from sluice.grading.grade import Grade, Verdict
from sluice.settings.grading import GraderSettings

TABLES = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "cases").glob("*.json"))
}
GRADERS = get_args(GraderSettings.model_fields["grader"].annotation)
CASES = [
    pytest.param(name, case, id=f"{name}: {case['why']}")
    for name, table in TABLES.items()
    for case in table["cases"]
]
ANSWERS = {"correct", "wrong"}


def _text(completion):
    parts = [completion] if isinstance(completion, str) else completion
    return "".join(part if isinstance(part, str) else part[0] * part[1] for part in parts)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_verdict_and_answer(name, case):
    settings = GraderSettings(**case.get("settings", TABLES[name]["settings"]))
    assert settings.grader == name
    grade = make_grader(settings)(
        _text(case["completion"]), case["reference"], is_cut_off=case["is_cut_off"]
    )
    assert grade == Grade(case["verdict"], case["answer"])
    assert grade.is_correct == (case["verdict"] == "correct")


def test_every_grader_has_a_table():
    assert sorted(TABLES) == sorted(GRADERS)


@pytest.mark.parametrize("name", GRADERS)
def test_table_is_large_and_shows_every_verdict(name):
    cases = TABLES[name]["cases"]
    assert len(cases) >= 40
    assert {case["verdict"] for case in cases} == set(TABLES[name]["verdicts"])
    assert set(TABLES[name]["verdicts"]) <= set(get_args(Verdict))
    assert len({case["why"] for case in cases}) == len(cases), "each case has its own reason"


@pytest.mark.parametrize("name", GRADERS)
def test_answer_is_given_exactly_where_one_was_compared(name):
    for case in TABLES[name]["cases"]:
        assert (case["answer"] is not None) == (case["verdict"] in ANSWERS)


@pytest.mark.parametrize("name", GRADERS)
def test_table_has_hostile_texts(name):
    texts = [_text(case["completion"]) for case in TABLES[name]["cases"]]
    assert "" in texts
    assert max(map(len, texts)) >= 900_000
    for sign in ("\u2028", "\u200b", "<think>", "</think>"):
        assert any(sign in text for text in texts), sign
    assert any(text.isascii() for text in texts)
    assert any("\u4e00" <= char <= "\u9fff" for text in texts for char in text[:100])

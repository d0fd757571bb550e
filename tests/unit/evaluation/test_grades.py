"""Graded answers, and accuracy by group."""

import hashlib
import json

import pytest
from graded_for_tests import make_graded, make_item

from sluice.errors import DataError, GradingError
from sluice.evaluation.answers import Answer, prompt_of, write_answers
from sluice.evaluation.grades import (
    accuracies,
    accuracy_table,
    evaluation_results,
    grade_answers,
    item_shares,
    read_accuracy_table,
)
from sluice.evaluation.grading_run import grade_suite
from sluice.intervals import share
from sluice.records import write_samples
from sluice.settings.grading import GraderSettings
from sluice.tables import write_csv

EXACT = GraderSettings(grader="exact")
NUMBER = GraderSettings(grader="number")


def _answer(item, text, *, sample=0, finish_reason="stop"):
    return Answer(
        id=item.id,
        sample=sample,
        group=item.group,
        prompt=prompt_of(item),
        completion=text,
        finish_reason=finish_reason,
        num_tokens=len(text),
    )


def test_each_answer_gets_the_verdict_of_its_own_reference():
    items = [make_item(n, str(n)) for n in (1, 2, 3)]
    answers = [_answer(items[2], "#### 3"), _answer(items[0], "#### 2"), _answer(items[1], "?")]
    graded = grade_answers(answers, items, NUMBER)
    assert [(each.id, each.answer, each.verdict) for each in graded] == [
        ("s_3", "3", "correct"),
        ("s_1", "2", "wrong"),
        ("s_2", None, "no_answer"),
    ]


def test_hashes_differ_where_references_or_settings_do():
    items = [make_item(1, "1"), make_item(2, "1"), make_item(3, "3")]
    answers = [_answer(item, "#### 1") for item in items]
    references = [each.reference_hash for each in grade_answers(answers, items, NUMBER)]
    assert references[0] == references[1] != references[2]
    settings = [
        NUMBER,
        EXACT,
        GraderSettings(grader="regex", pattern="(1)"),
        GraderSettings(grader="regex", pattern="([1])"),
        GraderSettings(grader="label", labels=("1", "3")),
        GraderSettings(grader="label", labels=("1", "3", "5")),
    ]
    hashes = [{each.grader_hash for each in grade_answers(answers, items, s)} for s in settings]
    assert [len(each) for each in hashes] == [1] * 6
    assert len(set.union(*hashes)) == 6


def test_answer_that_was_cut_off_is_graded_as_such():
    item = make_item(1, "12")
    (graded,) = grade_answers([_answer(item, "#### 12", finish_reason="length")], [item], NUMBER)
    assert graded.verdict == "cut_off"


def _changed(item, **changes):
    return item.model_copy(update=changes)


def test_answers_to_other_items_are_refused():
    items = [make_item(n, str(n)) for n in range(3)]
    answers = [_answer(item, "1") for item in items]
    cases = {
        r"1 items are answered that the suite does not have \(s_2\)": (answers, items[:2]),
        r"1 items have no answer \(s_2\)": (answers[:2], items),
        r"1 items were asked another question \(s_1\)": (
            [answers[0], _changed(answers[1], prompt=answers[0].prompt), answers[2]],
            items,
        ),
        r"2 items have fewer answers than others \(s_1, s_2\)": (
            [*answers, _answer(items[0], "1", sample=1)],
            items,
        ),
    }
    for what, (given, suite) in cases.items():
        with pytest.raises(DataError, match=what):
            grade_answers(given, suite, EXACT)


def test_items_without_reference_are_named():
    items = [make_item(n, str(n)) for n in range(3)]
    bare = [items[0], *(_changed(item, reference=None) for item in items[1:])]
    with pytest.raises(GradingError, match=r"2 of 3 items have no 'reference' \(s_1, s_2\)"):
        grade_answers([_answer(item, "1") for item in items], bare, EXACT)


def test_reference_that_the_grader_cannot_use_is_named_with_its_item():
    item = make_item(1, "1", reference={"judgement": "x"})
    with pytest.raises(GradingError, match="'answer'") as caught:
        grade_answers([_answer(item, "1")], [item], EXACT)
    assert caught.value.where == "item 's_1'"


def _three_groups():
    return [
        *make_graded([True] * 9 + [False], group="b"),
        *make_graded([False] * 4, group="a", start=10),
        *make_graded([True], start=14),
    ]


def test_groups_come_by_name_and_all_items_last():
    rows = accuracies(_three_groups(), seed=1)
    assert [row.group for row in rows] == ["(none)", "a", "b", "overall"]
    assert [(row.num_items, row.num_correct) for row in rows] == [(1, 1), (4, 0), (10, 9), (15, 10)]
    assert [row.accuracy for row in rows] == [share(1, 1), share(0, 4), share(9, 10), share(10, 15)]


def test_suite_without_groups_has_one_row():
    assert [row.group for row in accuracies(make_graded([True, False]), seed=1)] == ["overall"]


def test_order_of_answers_is_nothing_to_the_table():
    graded = _three_groups()
    assert accuracies(graded[::-1], seed=1) == accuracies(graded, seed=1)


def test_item_with_several_answers_counts_as_its_mean():
    graded = make_graded([[True, True, False], [False, False, True]] * 10 + [[True] * 3] * 5)
    assert list(item_shares(graded).values())[:2] == [pytest.approx(2 / 3), pytest.approx(1 / 3)]
    overall = accuracies(graded, seed=1)[-1]
    assert (overall.num_items, overall.num_answers, overall.num_correct) == (25, 75, 45)
    assert overall.accuracy.value == pytest.approx(0.6)
    # A bootstrap over items: 1.96 x sd / 5, with sd^2 = (10 x (2/3-.6)^2 + 10 x (1/3-.6)^2 +
    # 5 x .4^2) / 25 = 0.0622, so 0.098; Wilson over 75 answers would say 0.108.
    assert overall.accuracy.low == pytest.approx(0.6 - 0.098, abs=0.01)
    assert overall.accuracy.high == pytest.approx(0.6 + 0.098, abs=0.01)
    assert accuracies(graded, seed=2)[-1].accuracy.value == pytest.approx(0.6)


def test_group_with_the_name_of_the_last_row_is_refused():
    with pytest.raises(DataError, match="a group is named 'overall'"):
        accuracies(make_graded([True], group="overall"), seed=1)


def test_table_survives_its_file(tmp_path):
    table = accuracy_table(accuracies(_three_groups(), seed=1))
    write_csv(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_text().splitlines()[:3] == [
        "group,n,answers,correct,accuracy,low,high",
        "(none),1,1,1,1.000000,0.206549,1.000000",
        "a,4,4,0,0.000000,0.000000,0.489891",
    ]
    read = read_accuracy_table(tmp_path / "t.csv")
    assert read.round(6).equals(table.round(6))


def test_group_named_like_a_missing_value_or_a_number_stays_a_name(tmp_path):
    graded = make_graded([True], group="NA") + make_graded([True], group="7", start=1)
    write_csv(tmp_path / "t.csv", accuracy_table(accuracies(graded, seed=1)))
    assert list(read_accuracy_table(tmp_path / "t.csv")["group"]) == ["7", "NA", "overall"]


HEADER = "group,n,answers,correct,accuracy,low,high\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is no table"),
        ("a,b\n1,2\n", "lacks the columns group"),
        (HEADER, "is no table of accuracies"),
        (f"{HEADER}overall,4,4,2,half,0.1,0.9\n", "the column accuracy holds no numbers"),
    ],
)
def test_file_that_is_no_table_of_accuracies_is_refused(tmp_path, text, fault):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=rf"t\.csv:? {fault}"):
        read_accuracy_table(tmp_path / "t.csv")
    with pytest.raises(DataError, match="does not exist"):
        read_accuracy_table(tmp_path / "u.csv")


def test_results_tell_verdicts_and_the_commonest_answer():
    graded = _three_groups()
    rows = accuracies(graded, seed=1)
    found = evaluation_results(graded, rows, subject="m", suite="s", grader="exact")
    assert found["overall"]["correct"] == 10
    assert [group["group"] for group in found["groups"]] == ["(none)", "a", "b"]
    assert found["verdicts"] == {"correct": 10, "wrong": 5}
    assert found["commonest_answer"] == {"answer": "yes", "share": 10 / 15}
    assert (found["num_samples"], found["interval"]) == (1, "95 %, Wilson")
    assert found["mean_tokens"] == 2
    bare = [_changed(each, answer=None, verdict="no_answer") for each in graded]
    rows = accuracies(bare, seed=1)
    found = evaluation_results(bare, rows, subject="m", suite="s", grader="exact")
    assert found["commonest_answer"] is None


def test_files_of_a_run_hold_prompt_completion_answer_and_verdict(tmp_path):
    items = [make_item(n, str(n), group="g") for n in range(4)]
    write_samples(tmp_path / "s.jsonl", items)
    write_answers(tmp_path / "a.jsonl", [_answer(item, "#### 1") for item in items])
    grade_suite(
        tmp_path / "a.jsonl",
        tmp_path / "s.jsonl",
        NUMBER,
        subject="m",
        suite="s",
        seed=1,
        graded=tmp_path / "g.jsonl",
        table=tmp_path / "t.csv",
        results=tmp_path / "r.json",
    )
    lines = [json.loads(line) for line in (tmp_path / "g.jsonl").read_bytes().splitlines()]
    assert lines[1] == {
        "id": "s_1",
        "sample": 0,
        "group": "g",
        "prompt": [{"role": "user", "content": "Question 1?"}],
        "completion": "#### 1",
        "finish_reason": "stop",
        "num_tokens": 6,
        "answer": "1",
        "verdict": "correct",
        "reference_hash": hashlib.sha256(b'{"answer": "1"}').hexdigest()[:12],
        "grader_hash": lines[0]["grader_hash"],
    }
    assert json.loads((tmp_path / "r.json").read_text())["overall"]["accuracy"] == 0.25
    assert (tmp_path / "t.csv").read_text().splitlines()[-1].startswith("overall,4,4,1,0.25")

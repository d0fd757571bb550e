"""Answers of an engine to a suite: prompts, order, seeds, and a run that is killed."""

import json
import subprocess
import sys
import textwrap

import pytest
from graded_for_tests import make_graded, make_item
from scripted_engine import ScriptedEngine
from support import ROOT

from sluice.errors import ConfigError, DataError
from sluice.evaluation.answering import answer_suite
from sluice.evaluation.answers import Answer, generate_answers, prompt_of, read_answers, read_suite
from sluice.evaluation.grades import GradedAnswer
from sluice.records import Message, write_samples
from sluice.settings.evaluation import GenerateAnswers, Generation


def _engine():
    return ScriptedEngine(lambda request: f"{request.messages[-1].content} {request.seed}")


def _generate(items, folder, **settings):
    folder.mkdir(exist_ok=True)
    return generate_answers(_engine(), items, settings=Generation(**settings), seed=1, state=folder)


def test_reference_response_is_not_shown_to_the_model():
    item = make_item(3, "42")
    assert [message.role for message in prompt_of(item)] == ["user"]


def test_dialogue_that_ends_with_a_question_is_shown_whole():
    messages = [Message(role=role, content="x") for role in ("user", "assistant", "user")]
    item = make_item(3, "42").model_copy(update={"messages": tuple(messages)})
    assert prompt_of(item) == tuple(messages)


def test_answers_stand_in_the_order_of_the_items(tmp_path):
    items = [make_item(n, str(n), group="g" if n % 2 else None) for n in (5, 2, 9)]
    answers = _generate(items, tmp_path, num_samples=2, temperature=1)
    assert [(each.id, each.sample) for each in answers] == [
        (f"s_{n}", sample) for n in (5, 2, 9) for sample in (0, 1)
    ]
    assert [each.group for each in answers[::2]] == ["g", None, "g"]
    assert answers[2].completion.startswith("Question 2? ")
    assert answers[2].prompt == prompt_of(items[1])


def test_seed_of_an_answer_depends_on_item_and_number_alone(tmp_path):
    items = [make_item(n, str(n)) for n in range(6)]
    many = _generate(items, tmp_path / "a", num_samples=3, temperature=1)
    few = _generate(items[4:1:-1], tmp_path / "b", num_samples=2, temperature=1)
    seeds = {(each.id, each.sample): each.completion for each in many}
    assert len(set(seeds.values())) == 18
    assert all(seeds[each.id, each.sample] == each.completion for each in few)


def test_answer_at_the_token_limit_is_cut_off(tmp_path):
    (answer,) = _generate([make_item(1, "1")], tmp_path, max_new_tokens=2)
    assert (answer.completion, answer.finish_reason, answer.num_tokens) == (
        "Question 1?",
        "length",
        2,
    )


def test_several_greedy_answers_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="'num_samples' is 3 at temperature 0"):
        _generate([make_item(1, "1")], tmp_path, num_samples=3)


def _write_suite(folder, items):
    write_samples(folder / "suite.jsonl", items)
    return folder / "suite.jsonl"


@pytest.mark.parametrize(
    ("items", "what"),
    [
        ([], "the suite has no item"),
        ([make_item(1, "1"), make_item(1, "2")], r"1 ids stand more than once \(s_1\)"),
        (
            [make_item(1, "1").model_copy(update={"messages": make_item(1, "1").messages[1:]})],
            r"1 items have no message to answer \(s_1\)",
        ),
    ],
    ids=["empty", "twice", "no prompt"],
)
def test_suite_that_cannot_be_answered_is_refused(tmp_path, items, what):
    path = _write_suite(tmp_path, items)
    with pytest.raises(DataError, match=what) as caught:
        read_suite(path)
    assert caught.value.where == str(path)


def test_engine_is_not_loaded_for_a_suite_that_cannot_be_answered(tmp_path):
    def load():
        raise AssertionError("loaded")

    with pytest.raises(DataError, match="no item"):
        _answer(tmp_path, [], load=load)


def test_engine_is_not_loaded_where_the_output_is_a_folder(tmp_path):
    def load():
        raise AssertionError("loaded")

    (tmp_path / "answers.jsonl").mkdir()
    with pytest.raises(DataError, match=r"answers\.jsonl is a folder"):
        _answer(tmp_path, [make_item(0, "1")], load=load)


def _answer(folder, items, *, load=_engine, source=None, **settings):
    answer_suite(
        _write_suite(folder, items),
        load_engine=load,
        settings=GenerateAnswers(**settings),
        source=source or {"model": "hub/name", "revision": None, "adapter": None},
        output=folder / "answers.jsonl",
        state_root=folder / "state",
    )
    return read_answers(folder / "answers.jsonl", Answer)


def test_progress_is_forgotten_once_the_answers_are_written(tmp_path):
    assert len(_answer(tmp_path, [make_item(n, "1") for n in range(4)])) == 4
    assert list((tmp_path / "state").iterdir()) == []


class _Broken(ScriptedEngine):
    """Fails after some answers, as an engine that loses its server does."""

    def generate(self, requests, *, sampling, skip=(), unfinished=None):
        for count, found in enumerate(super().generate(requests, sampling=sampling, skip=skip)):
            if count == 3:
                raise RuntimeError("the engine broke")
            yield found


def _broken():
    return _Broken(_engine()._answer)


@pytest.mark.parametrize(
    ("change", "num_asked"),
    [
        ({}, 7),
        ({"max_new_tokens": 9}, 10),
        ({"precision": "bfloat16"}, 10),
        ({"seed": 7}, 10),
        ({"source": {"model": "hub/other", "revision": None, "adapter": None}}, 10),
        ({"source": {"model": "hub/name", "revision": "v2", "adapter": None}}, 10),
    ],
    ids=["same", "setting", "precision", "seed", "model", "revision"],
)
def test_answers_of_a_broken_run_are_used_by_the_same_run_only(tmp_path, change, num_asked):
    items = [make_item(n, "1") for n in range(10)]
    with pytest.raises(RuntimeError, match="broke"):
        _answer(tmp_path, items, load=_broken)
    engine = _engine()
    _answer(tmp_path, items, load=lambda: engine, **change)
    assert engine.num_generated == num_asked


def test_answers_of_a_local_model_count_by_its_bytes(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"1")
    source = {"model": str(model), "revision": None, "adapter": None}
    items = [make_item(n, "1") for n in range(10)]
    with pytest.raises(RuntimeError, match="broke"):
        _answer(tmp_path, items, load=_broken, source=source)
    (model / "weights").write_bytes(b"2")
    engine = _engine()
    _answer(tmp_path, items, load=lambda: engine, source=source)
    assert engine.num_generated == 10


_KILLED = """
import os, signal, sys
sys.path[:0] = ["workflow_scripts", "tests", "tests/unit/evaluation"]
from pathlib import Path
from test_answers import _answer, _engine, make_item
from scripted_engine import ScriptedEngine

class Killed(ScriptedEngine):
    def generate(self, requests, *, sampling, skip=(), unfinished=None):
        for count, found in enumerate(super().generate(requests, sampling=sampling, skip=skip)):
            if count == 13:
                os.kill(os.getpid(), signal.SIGKILL)
            yield found

load = lambda: Killed(_engine()._answer)
_answer(Path(sys.argv[1]), [make_item(n, "1") for n in range(10)], load=load, num_samples=2,
        temperature=1)
"""


def test_killed_run_goes_on_and_gives_the_same_bytes(tmp_path):
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    code = textwrap.dedent(_KILLED)
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "killed"], cwd=ROOT, check=False)
    assert done.returncode == -9
    assert not (tmp_path / "killed" / "answers.jsonl").exists()
    (notes,) = (tmp_path / "killed" / "state").rglob("*.jsonl")
    assert len(notes.read_bytes().splitlines()) == 13
    notes.write_bytes(notes.read_bytes()[:-20])  # the last line was only half on disk
    items = [make_item(n, "1") for n in range(10)]
    engine = _engine()
    _answer(tmp_path / "killed", items, load=lambda: engine, num_samples=2, temperature=1)
    assert engine.num_generated == 8
    _answer(tmp_path / "whole", items, num_samples=2, temperature=1)
    files = [tmp_path / name / "answers.jsonl" for name in ("killed", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_line_separators_inside_an_answer_survive(tmp_path):
    text = "a\u2028b\r\nc\x00d\n"
    found = _answer(tmp_path, [make_item(1, "1")], load=lambda: ScriptedEngine(lambda _: text))
    assert [each.completion for each in found] == [text]


@pytest.mark.parametrize(
    ("line", "what"),
    [("{", "line 2 is no answer"), ('{"id": "x"}', "line 2 is no answer: sample: Field required")],
)
def test_damaged_line_is_named(tmp_path, line, what):
    _answer(tmp_path, [make_item(1, "1")])
    path = tmp_path / "answers.jsonl"
    path.write_bytes(path.read_bytes() + line.encode() + b"\n")
    with pytest.raises(DataError, match=what):
        read_answers(path, Answer)


def test_answers_without_grades_are_no_graded_answers(tmp_path):
    _answer(tmp_path, [make_item(1, "1")])
    assert "verdict" not in json.loads((tmp_path / "answers.jsonl").read_text())
    with pytest.raises(DataError, match="line 1 is no graded answer: answer: Field required"):
        read_answers(tmp_path / "answers.jsonl", GradedAnswer)


def test_graded_answers_of_older_versions_are_to_be_made_anew(tmp_path):
    (graded,) = make_graded([True])
    row = graded.model_dump(mode="json", exclude={"reference_hash", "grader_hash"})
    (tmp_path / "s.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="reference_hash: Field required") as caught:
        read_answers(tmp_path / "s.jsonl", GradedAnswer)
    assert caught.value.hint == "make the file anew, with the script of this version"

"""Completions of every prompt, graded, and noted as they come."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_engine import ScriptedEngine

from sluice.engines.engine import Completion, Sampling
from sluice.engines.notes import Notes, generate_all
from sluice.errors import EngineError, GradingError
from sluice.files import read_json
from sluice.grading.choosing import make_grader
from sluice.ledger import read_ledger
from sluice.records import Message, read_samples
from sluice.sampling.formats import Prompt
from sluice.sampling.sampling import (
    check_references,
    grade_completions,
    make_requests,
)
from sluice.sampling.writing import write_sampled
from sluice.settings.grading import GraderSettings

SAMPLING = Sampling(temperature=1, top_p=1, max_new_tokens=5)
EXACT = make_grader(GraderSettings(grader="exact"))


def _prompt(number, answer="right"):
    messages = (Message(role="user", content=f"q{number}"),)
    reference = {"answer": answer}
    return Prompt(f"d_{number}", messages, reference, "d", None, {"prompt": [], **reference})


def _echo(request):
    return f"{request.messages[0].content} {request.seed}"


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.integers(1, 9), st.data())
def test_no_request_is_lost_or_doubled_wherever_a_run_is_cut(
    tmp_path_factory, num_prompts, num_samples, data
):
    path = tmp_path_factory.mktemp("notes") / "notes.jsonl"
    prompts = [_prompt(number) for number in range(num_prompts)]
    requests = make_requests(prompts, num_samples=num_samples, seed=1)
    assert len(requests) == num_prompts * num_samples
    expected = [Completion(_echo(request), 3, "stop") for request in requests]
    num_done = data.draw(st.integers(0, len(requests)))
    with Notes(path) as notes:
        for index in list(reversed(range(len(requests))))[:num_done]:
            notes.add(index, expected[index])
    engine = ScriptedEngine(_echo)
    completions, _ = generate_all(engine, requests, sampling=SAMPLING, notes_path=path)
    assert completions == expected
    assert engine.num_generated == len(requests) - num_done


def test_seeds_belong_to_prompt_and_number_and_all_differ():
    prompts = [_prompt(number) for number in range(20)]
    requests = make_requests(prompts, num_samples=8, seed=1)
    assert len({request.seed for request in requests}) == 160
    alone = make_requests([prompts[7]], num_samples=3, seed=1)
    assert [request.seed for request in alone] == [request.seed for request in requests[56:59]]
    assert make_requests(prompts, num_samples=8, seed=2)[0].seed != requests[0].seed


def test_engine_that_leaves_requests_open_is_an_error(tmp_path):
    class Forgetful(ScriptedEngine):
        def generate(self, requests, **kwargs):
            for index, completion in super().generate(requests, **kwargs):
                if index != 2:
                    yield index, completion

    requests = make_requests([_prompt(0)], num_samples=4, seed=1)
    with pytest.raises(EngineError, match="left 1 of 4 requests open"):
        generate_all(Forgetful(_echo), requests, sampling=SAMPLING, notes_path=tmp_path / "n")


def test_notes_survive_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "notes"
    with Notes(path) as notes:
        for index in range(3):
            notes.add(index, Completion(f"line\u2028 {index}", 1, "stop"))
    path.write_bytes(path.read_bytes()[:-7])
    with Notes(path) as notes:
        assert sorted(notes.completions) == [0, 1]
        notes.add(2, Completion("again", 2, "length"))
    with Notes(path) as notes:
        assert notes.completions[1] == Completion("line\u2028 1", 1, "stop")
        assert notes.completions[2] == Completion("again", 2, "length")


def test_seconds_of_interrupted_runs_add_up(tmp_path):
    with Notes(tmp_path / "n") as notes:
        notes.add(0, Completion("", 1, "stop"))
        first = notes.seconds
    with Notes(tmp_path / "n") as notes:
        assert notes.seconds == pytest.approx(first)
        notes.add(1, Completion("", 1, "stop"))
        assert notes.seconds >= first


def _graded(texts, *, deduplicate="once", answer="right", finish_reason="stop"):
    completions = [Completion(text, 2, finish_reason) for text in texts]
    (graded,) = grade_completions(
        [_prompt(0, answer)], completions, grader=EXACT, deduplicate=deduplicate
    )
    return [each.rejection for each in graded]


def test_identical_correct_completions_are_kept_once():
    texts = ["<think>a</think>right", "wrong", "<think>a</think>right", "right", "wrong"]
    assert _graded(texts) == [None, "wrong", "duplicate", None, "wrong"]


def test_or_all_of_them():
    assert _graded(["right", "right", "wrong"], deduplicate="all") == [None, None, "wrong"]


def test_a_cut_off_completion_is_named_so():
    assert _graded(["<think>I am still"], finish_reason="length") == ["cut_off"]


def test_completions_go_to_their_prompts():
    prompts = [_prompt(number, f"a{number}") for number in range(3)]
    completions = [Completion(f"a{number}", 1, "stop") for number in (0, 0, 1, 2, 0, 2)]
    graded = grade_completions(prompts, completions, grader=EXACT, deduplicate="all")
    assert [[each.is_kept for each in group] for group in graded] == [
        [True, True],
        [True, False],
        [False, True],
    ]
    assert [each.id for group in graded for each in group] == [
        f"d_{prompt}_{number}" for prompt in range(3) for number in range(2)
    ]


def test_reference_that_no_grader_can_use_stops_before_anything_is_generated(tmp_path):
    bad = Prompt("d_1", (), {"judgement": "x"}, "d", None, {})
    with pytest.raises(GradingError, match="'d_1'") as caught:
        check_references([_prompt(0), bad], EXACT, where=tmp_path / "s.jsonl")
    assert caught.value.hint


def _write(folder, *, deduplicate="once"):
    prompts = [_prompt(number, f"a{number}") for number in range(3)]
    texts = ["a0", "a0", "<think>x</think>a0", "no", "a1", "no", "no", "no", *["a1"] * 4]
    completions = [Completion(text, 3, "stop") for text in texts]
    graded = grade_completions(prompts, completions, grader=EXACT, deduplicate=deduplicate)
    paired = list(zip(prompts, graded, strict=True))
    write_sampled(folder / "sampled_data.json", paired, summary={"samples": 3})


def test_counts_and_weights_are_of_the_kept_completions(tmp_path):
    _write(tmp_path)
    entries = read_json(tmp_path / "sampled_data.json")
    counts = [(entry["id"], entry["num_correct_for_this_sample"]) for entry in entries]
    assert counts == [("d_0_0", 2), ("d_0_2", 2), ("d_1_0", 1)]
    accepted = list(read_samples(tmp_path / "accepted.jsonl"))
    assert [(sample.id, sample.weight) for sample in accepted] == [
        ("d_0_0", 0.5),
        ("d_0_2", 0.5),
        ("d_1_0", 1.0),
    ]
    by_prompt = Counter()
    for sample in accepted:
        by_prompt[sample.id.rpartition("_")[0]] += sample.weight
    assert set(by_prompt.values()) == {1.0}


def test_with_all_kept_the_count_is_larger(tmp_path):
    _write(tmp_path, deduplicate="all")
    entries = read_json(tmp_path / "sampled_data.json")
    assert [entry["num_correct_for_this_sample"] for entry in entries] == [3, 3, 3, 1]


def test_nothing_kept_is_a_warning_that_says_where_the_reasons_are(tmp_path, caplog):
    _write(tmp_path)
    assert not [each for each in caplog.records if each.levelname == "WARNING"]
    prompts = [_prompt(0, "a0")]
    graded = grade_completions(
        prompts, [Completion("no", 3, "stop")], grader=EXACT, deduplicate="once"
    )
    paired = list(zip(prompts, graded, strict=True))
    write_sampled(tmp_path / "sampled_data.json", paired, summary={"samples": 1})
    (warning,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "no completion is kept" in warning
    assert str(tmp_path / "sampling_stats.json") in warning


def test_books_hold_every_completion(tmp_path):
    _write(tmp_path)
    ledger = read_ledger(tmp_path / "sampled_data.ledger.json")
    assert (ledger["rows_in"], ledger["rows_kept"]) == (12, 3)
    assert ledger["rejected"] == {"duplicate": 1, "wrong": 8}
    rows = [json.loads(line) for line in (tmp_path / "completions.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    assert rows[1] == {
        "id": "d_0_1",
        "prompt_id": "d_0",
        "dataset": "d",
        "group": None,
        "completion": "a0",
        "num_tokens": 3,
        "finish_reason": "stop",
        "verdict": "correct",
        "answer": rows[1]["answer"],
        "is_kept": False,
    }
    lines = (tmp_path / "sampled_data.rejected.jsonl").read_text().splitlines()
    assert Counter(json.loads(line)["reason"] for line in lines) == ledger["rejected"]

"""Prompts in, kept completions out."""

import json
import random

import pytest
from support import ROOT

from sluice.errors import DataError
from sluice.records import Sample, write_samples
from sluice.sampling.formats import (
    accepted_sample,
    choose_prompts,
    is_law_cases,
    read_prompts,
    sampled_entry,
)

LEGAL_PROMPT = ROOT / "resources/prompts/legal_judgment_v1.txt"
ARTICLES = {"264": "盗窃公私财物的……", "263": "以暴力抢劫的……"}
CASE = {"fact": "张三偷车。", "relevant_articles": ["264"], "charge": "盗窃罪", "prison_time": 7}


def _sample(number, *roles, reference=True):
    roles = roles or ("user", "assistant")
    return Sample(
        messages=[{"role": role, "content": f"{role} {place}"} for place, role in enumerate(roles)],
        dataset="d",
        id=f"d_{number}",
        group="g",
        reference={"answer": str(number)} if reference else None,
    )


def _read(folder, samples):
    write_samples(folder / "s.jsonl", samples)
    return read_prompts(folder / "s.jsonl", articles=None, legal_prompt=LEGAL_PROMPT)


@pytest.mark.parametrize(
    ("roles", "kept"),
    [
        (("user",), 1),
        (("user", "assistant"), 1),
        (("system", "user", "assistant"), 2),
        (("user", "assistant", "user", "assistant"), 3),
        (("user", "assistant", "tool", "assistant"), 3),
    ],
)
def test_prompt_is_all_before_the_last_assistant_message(tmp_path, roles, kept):
    (prompt,) = _read(tmp_path, [_sample(0, *roles)])
    assert [message.role for message in prompt.messages] == list(roles[:kept])


def test_message_after_the_last_answer_is_left_out_with_it(tmp_path):
    (prompt,) = _read(tmp_path, [_sample(0, "user", "assistant", "user")])
    assert [message.role for message in prompt.messages] == ["user"]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "holds no prompt"),
        ([_sample(0), _sample(0)], "'d_0' stands there more than once"),
        ([_sample(0), _sample(1, reference=False)], r"1 of 2 prompts have no reference \(d_1\)"),
        ([_sample(0, "assistant")], "'d_0' has no user message"),
    ],
)
def test_prompts_that_cannot_be_used_are_an_error(tmp_path, samples, message):
    with pytest.raises(DataError, match=message):
        _read(tmp_path, samples)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_prompts(tmp_path / "no.jsonl", articles=None, legal_prompt=LEGAL_PROMPT)


def _read_cases(folder, cases, articles=ARTICLES):
    (folder / "cases.json").write_text(json.dumps(cases, indent=1))
    (folder / "articles.json").write_text(json.dumps(articles))
    return read_prompts(
        folder / "cases.json", articles=folder / "articles.json", legal_prompt=LEGAL_PROMPT
    )


def test_law_case_becomes_prompt_and_reference(tmp_path):
    life = {**CASE, "relevant_articles": [263, 264], "prison_time": "XT", "number": "A-1"}
    prompts = _read_cases(tmp_path, [CASE, life])
    assert [prompt.id for prompt in prompts] == ["cases_0", "cases_1"]
    text = prompts[1].messages[0].content
    assert "以暴力抢劫的……\n盗窃公私财物的……" in text
    assert "张三偷车。" in text
    assert prompts[1].reference["prison_time"] == "XT"
    entry = sampled_entry(prompts[1], completion_id="cases_1_4", text="…", num_correct=3)
    assert entry == {
        "fact": "张三偷车。",
        "relevant_articles": [263, 264],
        "charge": "盗窃罪",
        "prison_time": "XT",
        "number": "A-1",
        "id": "cases_1_4",
        "prompt_id": "cases_1",
        "dataset": "cases",
        "response": "…",
        "num_correct_for_this_sample": 3,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relevant_articles": ["1"]}, "case 1: article 1 is not in the articles file"),
        ({"prison_time": "life"}, "case 1: 'prison_time' is 'life'"),
        ({"prison_time": True}, "case 1: 'prison_time' is True"),
        ({"fact": 3}, "case 1: 'fact' is int, not text"),
        ({"charge": None}, "case 1: 'charge' is NoneType, not text"),
    ],
)
def test_law_case_that_cannot_be_used_is_an_error(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        _read_cases(tmp_path, [CASE, {**CASE, **change}])


@pytest.mark.parametrize("name", ["fact", "charge", "relevant_articles"])
def test_law_case_without_a_field_is_an_error(tmp_path, name):
    case = {key: value for key, value in CASE.items() if key != name}
    with pytest.raises(DataError, match=f"case 0: no '{name}'"):
        _read_cases(tmp_path, [case])


def test_law_cases_without_articles_are_an_error(tmp_path):
    (tmp_path / "cases.json").write_text(json.dumps([CASE]))
    with pytest.raises(DataError, match="statute is missing") as caught:
        read_prompts(tmp_path / "cases.json", articles=None, legal_prompt=LEGAL_PROMPT)
    assert "convert_dataset.py makes canonical samples" in caught.value.hint
    assert f"--path {tmp_path / 'cases.json'} --dataset cases" in caught.value.hint


def test_articles_for_canonical_samples_are_an_error(tmp_path):
    write_samples(tmp_path / "s.jsonl", [_sample(0)])
    (tmp_path / "articles.json").write_text(json.dumps(ARTICLES))
    with pytest.raises(DataError, match=r"s\.jsonl holds no LawShift cases"):
        read_prompts(
            tmp_path / "s.jsonl", articles=tmp_path / "articles.json", legal_prompt=LEGAL_PROMPT
        )


def test_json_list_is_told_from_json_lines(tmp_path):
    file = tmp_path / "f"
    for text, is_law in (("\ufeff \n[{", True), ('{"a": 1}\n', False), ("", False)):
        file.write_text(text)
        assert is_law_cases(file) is is_law


def test_entry_and_sample_of_a_kept_completion(tmp_path):
    (prompt,) = _read(tmp_path, [_sample(5)])
    entry = sampled_entry(prompt, completion_id="d_5_2", text="five", num_correct=4)
    assert entry == {
        "prompt": [{"role": "user", "content": "user 0"}],
        "answer": "5",
        "id": "d_5_2",
        "prompt_id": "d_5",
        "dataset": "d",
        "group": "g",
        "response": "five",
        "num_correct_for_this_sample": 4,
    }
    sample = accepted_sample(prompt, completion_id="d_5_2", text="five", num_correct=4)
    assert sample.weight == 0.25
    assert [message.content for message in sample.messages] == ["user 0", "five"]
    assert (sample.id, sample.dataset, sample.group) == ("d_5_2", "d", "g")
    assert sample.reference == {"answer": "5"}


def test_chosen_prompts_depend_on_seed_and_id_not_on_order(tmp_path):
    prompts = _read(tmp_path, [_sample(n) for n in range(50)])
    chosen = choose_prompts(prompts, num_prompts=10, seed=1)
    assert [prompt.id for prompt in chosen] == [prompt.id for prompt in prompts if prompt in chosen]
    shuffled = random.Random(3).sample(prompts, 50)
    again = choose_prompts(shuffled, num_prompts=10, seed=1)
    assert {prompt.id for prompt in again} == {prompt.id for prompt in chosen}
    other = choose_prompts(prompts, num_prompts=10, seed=2)
    assert {prompt.id for prompt in other} != {prompt.id for prompt in chosen}
    more = choose_prompts(prompts, num_prompts=11, seed=1)
    assert {prompt.id for prompt in chosen} < {prompt.id for prompt in more}


@pytest.mark.parametrize("num_prompts", [None, 50, 51])
def test_all_prompts_are_taken_where_no_fewer_are_wanted(tmp_path, num_prompts):
    prompts = _read(tmp_path, [_sample(n) for n in range(50)])
    assert choose_prompts(prompts, num_prompts=num_prompts, seed=1) == prompts

"""Masks, key tokens, rejections and the held-out part."""

import json
import random
import re
from collections import Counter

import pytest
import yaml
from samples_for_training import encode, make_sample, mixed_samples
from support import ROOT
from tiny_models import THINKING, byte_tokenizer

from sluice.errors import ConfigError, DataError, TrainingError
from sluice.ledger import Ledger, read_ledger
from sluice.records import Sample, write_samples
from sluice.settings.training import FineTune, TrainingData
from sluice.training.encoding import load_training_samples
from sluice.training.eval_split import split_for_evaluation
from sluice.training.masks import show_mask

GUIDE = (ROOT / "docs" / "guide.md").read_text()


def trained_text(sample, tokenizer=None, *, weight=None):
    """What is trained on, as text: all of it, or the tokens of one weight."""
    tokenizer = tokenizer or byte_tokenizer()
    pairs = zip(sample.input_ids, sample.token_weights, strict=True)
    return tokenizer.decode([i for i, u in pairs if (u > 0 if weight is None else u == weight)])


def test_only_the_response_and_its_end_are_trained_on(tmp_path):
    (sample,) = encode(tmp_path, [make_sample(0, "Which colour?", "Red.")])
    assert trained_text(sample) == "Red.<|im_end|>"


def test_every_turn_of_a_dialogue_is_trained_on(tmp_path):
    turns = [("system", "Be brief."), ("user", "One?"), ("assistant", "1")]
    turns += [("user", "Two?"), ("assistant", "2")]
    messages = [{"role": role, "content": content} for role, content in turns]
    (sample,) = encode(tmp_path, [Sample(messages=messages, dataset="t", id="t_0")])
    assert trained_text(sample) == "1<|im_end|>2<|im_end|>"


def test_learning_from_the_last_response_leaves_earlier_ones_as_context(tmp_path):
    turns = [("user", "One?"), ("assistant", "1"), ("user", "Two?"), ("assistant", "2")]
    messages = [{"role": role, "content": content} for role, content in turns]
    (sample,) = _load(
        tmp_path, [Sample(messages=messages, dataset="t", id="t_0")], learn_from="last"
    )[0]
    assert trained_text(sample) == "2<|im_end|>"
    assert "1<|im_end|>" in byte_tokenizer().decode(sample.input_ids)


def test_a_cut_before_the_last_response_leaves_nothing_to_learn(tmp_path):
    turns = [("user", "One?"), ("assistant", "1"), ("user", "Two?"), ("assistant", "2")]
    messages = [{"role": role, "content": content} for role, content in turns]
    whole = Sample(messages=messages, dataset="t", id="t_0")
    first = Sample(messages=messages[:2], dataset="t", id="t_1")
    kept, *_ = _load(tmp_path, [whole, first], learn_from="last", max_length=30)
    assert [sample.id for sample in kept] == ["t_1"]


def test_thinking_is_trained_on_where_the_template_shows_it(tmp_path):
    tokenizer = byte_tokenizer(THINKING)
    text = show_mask(
        tokenizer,
        [make_sample(0, "Why?", "<think>hm</think>So.")],
        settings=TrainingData(),
        is_coloured=False,
    )
    assert text.endswith("assistant\n[[<think>\nhm\n</think>\n\nSo.<|im_end|>]]\n\n")


def _load(folder, samples, **settings):
    write_samples(folder / "s.jsonl", samples)
    with Ledger(
        "fine_tune", "t", path=folder / "l.json", rejected_path=folder / "r.jsonl"
    ) as ledger:
        kept = load_training_samples(
            byte_tokenizer(), [folder / "s.jsonl"], settings=FineTune(**settings), ledger=ledger
        )
    lines = (folder / "r.jsonl").read_text().splitlines()
    return kept, [json.loads(line) for line in lines], read_ledger(folder / "l.json")


def test_sample_without_a_supervised_token_is_rejected_with_the_reason(tmp_path):
    silent = Sample(messages=[{"role": "user", "content": "Hello?"}], dataset="t", id="t_silent")
    late = make_sample(7, "x" * 200, "yes")
    kept, rejected, books = _load(tmp_path, [silent, late, make_sample(1, "a", "b")], max_length=64)
    assert [sample.id for sample in kept] == ["t_001"]
    assert [(row["where"], row["reason"], row["detail"]) for row in rejected] == [
        ("t_silent", "no_supervised_token", "no assistant message"),
        ("t_007", "no_supervised_token", "its responses begin after the cut"),
    ]
    assert rejected[1]["row"]["messages"][1]["content"] == "yes"
    assert books["rejected"] == {"no_supervised_token": 2}
    assert (books["rows_in"], books["rows_kept"]) == (3, 1)


def test_long_sample_is_cut_or_rejected_as_asked(tmp_path):
    rows = [make_sample(0, "a", "b" * 100), make_sample(1, "a", "b")]
    cut, rejected, _ = _load(tmp_path, rows, max_length=50)
    assert [len(sample.input_ids) for sample in cut] == [50, 23]
    assert rejected == []
    assert not trained_text(cut[0]).endswith("<|im_end|>")
    kept, rejected, _ = _load(tmp_path, rows, max_length=50, on_too_long="reject")
    assert [sample.id for sample in kept] == ["t_001"]
    assert [(row["where"], row["reason"]) for row in rejected] == [("t_000", "too_long")]


def test_nothing_left_is_an_error_with_the_reasons(tmp_path):
    silent = Sample(messages=[{"role": "user", "content": "Hello?"}], dataset="t", id="t_0")
    with pytest.raises(TrainingError, match=r"no sample is left .*no_supervised_token 1"):
        _load(tmp_path, [silent])


def test_nothing_left_of_sampled_completions_says_where_the_reasons_are(tmp_path):
    with pytest.raises(TrainingError, match="the files are empty") as caught:
        _load(tmp_path, [])
    assert caught.value.hint is None
    (tmp_path / "sampling_stats.json").write_text("{}")
    with pytest.raises(TrainingError) as caught:
        _load(tmp_path, [])
    assert f"'rejected' in {tmp_path / 'sampling_stats.json'}" in caught.value.hint


def test_id_that_stands_twice_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"1 ids stand twice \(t_003\)"):
        _load(tmp_path, [make_sample(3, "a", "b"), make_sample(3, "c", "d")])


def test_phrase_counts_more_and_regex_too(tmp_path):
    row = make_sample(0, "Total of 1 and 41?", "I add 1. Total: 42 (42)")
    settings = {"context_window": 0, "focus_weight": 3.0}
    (phrase,) = encode(tmp_path, [row], focus=("Total",), **settings)
    assert trained_text(phrase, weight=3.0) == "Total"  # not the question's
    (regex,) = encode(tmp_path, [row], focus=(r"re:\d+(?=\))", "add"), **settings)
    assert trained_text(regex, weight=3.0) == "add42"
    assert trained_text(regex) == "I add 1. Total: 42 (42)<|im_end|>"


def test_phrase_with_signs_is_taken_as_it_is(tmp_path):
    row = make_sample(0, "?", "a+b a+")
    (sample,) = encode(tmp_path, [row], focus=("a+",), context_window=0)
    assert trained_text(sample, weight=2.0) == "a+a+"


def test_window_is_counted_in_tokens_and_ends_with_the_response(tmp_path):
    row = make_sample(0, "?", "abcdefgh")
    (middle,) = encode(tmp_path, [row], focus=("de",), context_window=2)
    assert trained_text(middle, weight=2.0) == "bcdefg"
    (edge,) = encode(tmp_path, [row], focus=("a",), context_window=3)
    assert trained_text(edge, weight=2.0) == "abcd"


def test_phrase_of_many_byte_characters_is_found(tmp_path):
    row = make_sample(0, "？", "经查，缺陷真实存在。")
    (sample,) = encode(tmp_path, [row], focus=("真实",), context_window=0)
    assert trained_text(sample, weight=2.0) == "真实"


@pytest.mark.parametrize(
    ("phrase", "what"), [("re:(", "no regular expression"), ("re:x*", "matches the empty text")]
)
def test_illegal_focus_is_an_error(tmp_path, phrase, what):
    with pytest.raises(ConfigError, match=what):
        encode(tmp_path, [make_sample(0, "a", "b")], focus=(phrase,))


def test_phrases_that_are_nowhere_are_named_and_samples_with_key_tokens_counted(tmp_path, caplog):
    answers = [("?", "3+2=5"), ("?", "3 + 2 = 5"), ("=", "5")]
    rows = [make_sample(number, *each) for number, each in enumerate(answers)]
    pattern = yaml.safe_load(re.search(r"focus: (\[.*\])", GUIDE)[1])[1]
    with caplog.at_level("INFO", logger="sluice"):
        encode(tmp_path, rows, focus=("####", pattern, "= 5"))
    assert "key tokens in 2 of 3 samples" in caplog.text
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warnings == ["'focus' holds '####', which is in none of the 3 samples' responses"]


def test_a_phrase_that_is_cut_off_or_not_trained_on_counts_as_not_found(tmp_path, caplog):
    encode(tmp_path, [make_sample(0, "?", "yes" + "." * 99 + "end")], focus=("end",), max_length=60)
    assert "'focus' holds 'end'" in caplog.text


def test_mask_warns_of_phrases_that_are_nowhere(caplog):
    settings = TrainingData(focus=("42", "43"))
    show_mask(byte_tokenizer(), [make_sample(0, "43?", "42")], settings=settings, is_coloured=False)
    assert "'focus' holds '43'" in caplog.text
    assert "'focus' holds '42'" not in caplog.text


def test_weights_are_read_unless_they_are_off(tmp_path):
    rows = [make_sample(0, "a", "b", weight=0.25), make_sample(1, "a", "b")]
    assert [sample.weight for sample in encode(tmp_path, rows)] == [0.25, 1.0]
    assert [sample.weight for sample in encode(tmp_path, rows, use_weights=False)] == [1.0, 1.0]


def _completions(prompts_by_group, copies=3):
    return [
        make_sample(100 * p + k, f"Prompt {group}{p}", f"Answer {k}", group=group)
        for group, count in prompts_by_group.items()
        for p in range(count)
        for k in range(copies)
    ]


def _unique(samples):
    return [
        sample.model_copy(update={"id": f"{sample.group}_{n}"}) for n, sample in enumerate(samples)
    ]


def test_each_group_holds_out_its_share_of_prompts_with_all_completions(tmp_path):
    rows = encode(tmp_path, _unique(_completions({"a": 40, "b": 10, "c": 3, "d": 1})))
    train, held = split_for_evaluation(rows, eval_fraction=0.1, seed=1)
    assert Counter(sample.group for sample in held) == {"a": 12, "b": 3, "c": 3}
    assert not {sample.prompt for sample in train} & {sample.prompt for sample in held}
    assert len(train) + len(held) == len(rows)
    shuffled = rows[:]
    random.Random(3).shuffle(shuffled)
    again = split_for_evaluation(shuffled, eval_fraction=0.1, seed=1)[1]
    assert {sample.id for sample in again} == {sample.id for sample in held}


def test_fraction_of_zero_holds_out_nothing(tmp_path):
    rows = encode(tmp_path, mixed_samples(6))
    assert split_for_evaluation(rows, eval_fraction=0, seed=1) == (rows, [])


def test_mask_is_shown_in_colour_or_with_marks():
    row = make_sample(0, "Hi?", "Sum: 42")
    settings = TrainingData(focus=("42",), context_window=0)
    plain = show_mask(byte_tokenizer(), [row], settings=settings, is_coloured=False)
    assert "assistant\n[[Sum: ]][[*42*]][[<|im_end|>]]" in plain
    assert "t_000: 8 of 31 tokens are trained on" in plain
    coloured = show_mask(byte_tokenizer(), [row], settings=settings, is_coloured=True)
    assert "\033[32mSum: \033[0m\033[1;32m42\033[0m" in coloured
    assert re.sub(r"\033\[[\d;]*m", "", coloured) == re.sub(r"\[\[\*?|\*?\]\]", "", plain)

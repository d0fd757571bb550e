"""Which exchanges are learnt from, and what becomes of the others."""

import json

import pytest
from turns_for_tests import TOPICS, dialogue, verdict, write_turn

from sluice.errors import DataError
from sluice.flywheel.filtering import prepare_sft_data
from sluice.ledger import read_ledger
from sluice.records import read_samples
from sluice.settings.flywheel_turn import PrepareSftData


def _prepare(folder, dialogues, verdicts, *, system_prompt=None, **options):
    paths = write_turn(folder, dialogues, verdicts, system_prompt=system_prompt)
    arguments = {"held_out": (), "sft_format": "messages", **options}
    settings = {
        name: arguments.pop(name) for name in list(arguments) if name in PrepareSftData.model_fields
    }
    prepare_sft_data(
        *paths,
        name="turn_1",
        settings=PrepareSftData(min_kept=1, **settings),
        output=folder / "sft_train.jsonl",
        **arguments,
    )
    return list(read_samples(folder / "sft_train.jsonl"))


def _rejected(folder):
    lines = (folder / "sft_train.rejected.jsonl").read_text().splitlines()
    return {row["where"]: row["reason"] for row in map(json.loads, lines)}


def _one_a_topic(answers):
    """Dialogues of one exchange, whose texts have little in common."""
    return [
        dialogue(f"d{number}", (f"What do you know about {topic}?", answer), topic=topic)
        for number, (topic, answer) in enumerate(zip(TOPICS, answers, strict=False))
    ]


ANSWERS = (
    "They purr, hunt at dusk and sleep through the day.",
    "The pull of our satellite lifts the oceans twice daily.",
    "Flour, water and yeast rise for hours before the oven.",
    "Sheets of paper that shrink a country to a drawing.",
)


def test_an_exchange_is_kept_where_every_dimension_reaches_the_least_score(tmp_path):
    verdicts = [
        verdict("d0", 0, 4, 5, 4),
        verdict("d1", 0, 5, 5, 3.9),
        verdict("d2", 0, 5),
        verdict("d3", 0, 1),
    ]
    kept = _prepare(tmp_path, _one_a_topic(ANSWERS), verdicts)
    assert [sample.id for sample in kept] == ["turn_1_d0_0", "turn_1_d2_0"]
    assert _rejected(tmp_path) == {"turn_1_d1_0": "low_score", "turn_1_d3_0": "low_score"}


def test_by_mean_one_low_dimension_may_be_outweighed(tmp_path):
    verdicts = [
        verdict("d0", 0, 4, 5, 3),
        verdict("d1", 0, 5, 5, 1.9),
        verdict("d2", 0, 5),
        verdict("d3", 0, 1),
    ]
    kept = _prepare(tmp_path, _one_a_topic(ANSWERS), verdicts, keep_by="mean")
    assert [sample.id for sample in kept] == ["turn_1_d0_0", "turn_1_d2_0"]


@pytest.mark.parametrize("status", ["unparsable", "out_of_range", "refused", "failed"])
def test_a_verdict_without_scores_is_never_good(tmp_path, status):
    verdicts = [verdict("d0", 0, status=status), *(verdict(f"d{n}", 0, 5) for n in (1, 2, 3))]
    kept = _prepare(tmp_path, _one_a_topic(ANSWERS), verdicts)
    assert len(kept) == 3
    assert _rejected(tmp_path) == {"turn_1_d0_0": "no_verdict"}


def test_an_answer_of_white_space_is_not_learnt(tmp_path):
    answers = (" \n", *ANSWERS[1:])
    _prepare(tmp_path, _one_a_topic(answers), [verdict(f"d{n}", 0, 5) for n in range(4)])
    assert _rejected(tmp_path) == {"turn_1_d0_0": "empty_answer"}


def test_what_was_said_before_is_context_even_where_it_was_bad(tmp_path):
    talk = dialogue("d0", ("Why is the sea salt?", "No idea."), ("Try again.", "Rivers carry it."))
    verdicts = [verdict("d0", 0, 1), verdict("d0", 1, 5)]
    (sample,) = _prepare(tmp_path, [talk], verdicts, system_prompt="Be kind.")
    assert [(each.role, each.content) for each in sample.messages] == [
        ("system", "Be kind."),
        ("user", "Why is the sea salt?"),
        ("assistant", "No idea."),
        ("user", "Try again."),
        ("assistant", "Rivers carry it."),
    ]
    assert sample.group == "nature, en"
    assert sample.meta["scores"]["accuracy"] == 5


def test_context_is_what_the_model_saw_and_the_answer_keeps_its_reasoning(tmp_path):
    talk = dialogue("d0", ("One?", "<think>hm</think>1"), ("Two?", "<think>so</think>2"))
    verdicts = [verdict("d0", 0, 1), verdict("d0", 1, 5)]
    (sample,) = _prepare(tmp_path, [talk], verdicts)
    assert [each.content for each in sample.messages] == [
        "One?", "1", "Two?", "<think>so</think>2",
    ]  # fmt: skip


def test_an_answer_given_twice_is_learnt_once(tmp_path):
    talks = [
        dialogue("d0", ("What do house cats do between dawn and night?", ANSWERS[0])),
        dialogue("d1", ("What do  house CATS do between dawn and night?", ANSWERS[0])),
        dialogue("d2", ("What do house cats do between dawn and nite?", ANSWERS[0])),
        dialogue("d3", ("How does one bake at home?", ANSWERS[2])),
    ]
    kept = _prepare(tmp_path, talks, [verdict(f"d{n}", 0, 5) for n in range(4)])
    assert [sample.id for sample in kept] == ["turn_1_d0_0", "turn_1_d3_0"]
    assert _rejected(tmp_path) == {
        "turn_1_d1_0": "exact_duplicate",
        "turn_1_d2_0": "near_duplicate",
    }


def test_a_bad_answer_does_not_displace_its_good_copy(tmp_path):
    talks = [dialogue(f"d{n}", ("What is glass made of?", ANSWERS[0])) for n in range(2)]
    kept = _prepare(tmp_path, talks, [verdict("d0", 0, 2), verdict("d1", 0, 5)])
    assert [sample.id for sample in kept] == ["turn_1_d1_0"]


def test_text_of_an_evaluation_set_is_dropped_in_chinese_too(tmp_path):
    questions = tmp_path / "benchmark.jsonl"
    asked = "一列火车每小时行驶六十公里，三个小时后它离车站有多远？"
    questions.write_text(json.dumps({"question": asked}) + "\n")
    talks = [
        dialogue("d0", (f"老师问：{asked}请回答。", "一百八十公里。"), language="zh"),
        dialogue("d1", ("今天的天气怎么样？", "外面正在下雨。"), language="zh"),
    ]
    verdicts = [verdict("d0", 0, 5), verdict("d1", 0, 5)]
    kept = _prepare(tmp_path, talks, verdicts, evaluation_texts=(str(questions),))
    assert [sample.id for sample in kept] == ["turn_1_d1_0"]
    assert _rejected(tmp_path) == {"turn_1_d0_0": "evaluation_overlap"}


def test_openings_of_held_out_dialogues_are_never_learnt(tmp_path):
    held_out, _ = write_turn(
        tmp_path / "held_out",
        [dialogue("h0", ("Which river crosses the old town of Bern?", "The Aare."))],
        [verdict("h0", 0, 5)],
    )
    talks = [
        dialogue("d0", ("Which river crosses the old town of Bern?", "The Aare does, in a loop.")),
        dialogue("d1", ("How does one bake at home?", ANSWERS[2])),
    ]
    verdicts = [verdict("d0", 0, 5), verdict("d1", 0, 5)]
    kept = _prepare(tmp_path, talks, verdicts, held_out=[held_out])
    assert [sample.id for sample in kept] == ["turn_1_d1_0"]


def _held_out_topic(folder, *turns):
    row = {"id": "h0", "topic": "rivers", "turns": turns}
    folder.mkdir(exist_ok=True)
    (folder / "topics.jsonl").write_text(json.dumps(row) + "\n")
    return folder / "topics.jsonl"


LATER = ("Express z-x in y", "Name every town that the Aare passes on its way to the Rhine.")


@pytest.mark.parametrize("later", LATER, ids=["short", "long"])
@pytest.mark.parametrize("is_first", [True, False])
def test_fixed_questions_of_held_out_topics_are_never_learnt(tmp_path, later, is_first):
    topics = _held_out_topic(tmp_path / "held_out", "Where does the Aare rise?", later)
    before = () if is_first else (("What about the Rhine?", "It is long."),)
    talks = [
        dialogue("d0", *before, (later.upper(), "So it is.")),
        dialogue("d1", *before, ("How does one bake at home?", ANSWERS[2])),
    ]
    verdicts = [verdict(f"d{n}", place, 5) for n in (0, 1) for place in range(len(before) + 1)]
    for each in verdicts:
        if each["exchange"] < len(before):
            each["scores"] = dict.fromkeys(each["scores"], 1)
    kept = _prepare(tmp_path, talks, verdicts, held_out_topics=[topics])
    assert [sample.id for sample in kept] == [f"turn_1_d1_{len(before)}"]
    assert _rejected(tmp_path)[f"turn_1_d0_{len(before)}"] == "evaluation_overlap"
    assert "held-out topic h0" in (tmp_path / "sft_train.rejected.jsonl").read_text()


def test_a_fixed_question_within_a_longer_message_is_never_learnt(tmp_path):
    topics = _held_out_topic(tmp_path / "held_out", "Where does the Aare rise?", LATER[1])
    talks = [
        dialogue("d0", (f"Please check that again.\n{LATER[1]}", "So it is.")),
        dialogue("d1", ("How does one bake at home?", ANSWERS[2])),
    ]
    verdicts = [verdict("d0", 0, 5), verdict("d1", 0, 5)]
    kept = _prepare(tmp_path, talks, verdicts, held_out_topics=[topics])
    assert [sample.id for sample in kept] == ["turn_1_d1_0"]


def test_another_question_with_other_numbers_may_be_learnt(tmp_path):
    topics = _held_out_topic(tmp_path / "held_out", "What about |x + 10| < 5")
    talks = [dialogue("d0", ("What about |x + 10| < 7", "Between -17 and -3."))]
    kept = _prepare(tmp_path, talks, [verdict("d0", 0, 5)], held_out_topics=[topics])
    assert len(kept) == 1


def test_a_fixed_question_that_most_users_ask_is_a_set_phrase(tmp_path):
    phrase = "Can you give an example?"
    topics = _held_out_topic(tmp_path / "held_out", "Where does the Aare rise?", phrase)
    talks = [
        dialogue(f"d{n:02d}", (f"What of {TOPICS[n % 10]}?", f"Fact {n}."), (phrase, f"Case {n}."))
        for n in range(30)
    ]
    verdicts = [
        verdict(f"d{n:02d}", place, 5 if place and n < 3 else 1)
        for n in range(30)
        for place in range(2)
    ]
    assert len(_prepare(tmp_path, talks, verdicts, held_out_topics=[topics])) == 3


def test_a_phrase_of_most_dialogues_is_no_text_of_the_evaluation(tmp_path):
    phrase = "Please explain to a patient beginner what one should know about"
    held_out, _ = write_turn(
        tmp_path / "held_out", [dialogue("h0", (f"{phrase} sails.", "A."))], [verdict("h0", 0, 5)]
    )
    talks = [
        dialogue(f"d{n:02d}", (f"{phrase} {TOPICS[n % 10]} number {n}.", f"Fact {n}."))
        for n in range(30)
    ]
    # Only three are good: what is common is told from all of them.
    verdicts = [verdict(f"d{n:02d}", 0, 5 if n < 3 else 1) for n in range(30)]
    assert len(_prepare(tmp_path, talks, verdicts, held_out=[held_out])) == 3


def test_books_balance_over_all_reasons(tmp_path):
    verdicts = [
        verdict("d0", 0, 5),
        verdict("d1", 0, 2),
        verdict("d2", 0, status="refused"),
        verdict("d3", 0, 5),
    ]
    _prepare(tmp_path, _one_a_topic(ANSWERS), verdicts)
    books = read_ledger(tmp_path / "sft_train.ledger.json")
    assert (books["rows_in"], books["rows_kept"]) == (4, 2)
    assert books["rejected"] == {"low_score": 1, "no_verdict": 1}


def test_alpaca_holds_the_history_as_pairs(tmp_path):
    talk = dialogue("d0", ("One?", "1"), ("Two?", "2"), ("Three?", "3"))
    paths = write_turn(
        tmp_path, [talk], [verdict("d0", n, 5 if n == 2 else 1) for n in range(3)],
        system_prompt="Count.",
    )  # fmt: skip
    prepare_sft_data(
        *paths, name="turn_1", held_out=(), sft_format="alpaca",
        settings=PrepareSftData(min_kept=1), output=tmp_path / "sft_train.jsonl",
    )  # fmt: skip
    (line,) = (tmp_path / "sft_train.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert (row["instruction"], row["output"], row["system"]) == ("Three?", "3", "Count.")
    assert row["history"] == [["One?", "1"], ["Two?", "2"]]


def test_too_few_to_learn_from_is_an_error_that_keeps_the_rejected_ones(tmp_path):
    verdicts = [verdict(f"d{n}", 0, 5 if n else 1) for n in range(4)]
    paths = write_turn(tmp_path, _one_a_topic(ANSWERS), verdicts)
    with pytest.raises(DataError, match=r"3 of 4 exchanges are kept.*low_score 1") as caught:
        prepare_sft_data(
            *paths, name="turn_1", held_out=(), sft_format="messages",
            settings=PrepareSftData(min_kept=4), output=tmp_path / "sft_train.jsonl",
        )  # fmt: skip
    assert "flywheel.min_kept" in caught.value.expected
    assert not (tmp_path / "sft_train.jsonl").exists()
    assert "low_score" in (tmp_path / "failed_sft_train.rejected.jsonl").read_text()


def test_a_least_score_off_the_scale_is_refused(tmp_path):
    with pytest.raises(DataError, match="min_score is 6, but the judge's scale goes from 1 to 5"):
        _prepare(tmp_path, _one_a_topic(ANSWERS[:1]), [verdict("d0", 0, 5)], min_score=6)


def test_verdicts_of_other_dialogues_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 exchanges and 2 verdicts fit together in 1 cases"):
        _prepare(
            tmp_path,
            _one_a_topic(ANSWERS[:1]),
            [verdict("d0", 0, 5), verdict("elsewhere", 0, 5)],
        )


def test_a_dialogue_that_stands_there_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="dialogues stand there twice: d0"):
        _prepare(tmp_path, _one_a_topic(ANSWERS[:1]) * 2, [verdict("d0", 0, 5)] * 2)


def test_a_broken_file_names_the_field(tmp_path):
    talk = dialogue("d0", ("One?", "1"))
    del talk["exchanges"][0]["assistant"]
    with pytest.raises(DataError, match=r"dialogues\.0\.exchanges\.0\.assistant"):
        _prepare(tmp_path, [talk], [verdict("d0", 0, 5)])


def test_a_shift_is_written_and_warned_of_with_numbers(tmp_path, caplog):
    talks = [
        dialogue(f"d{n:02d}", (f"What about {TOPICS[n % 10]} in {n} words?", f"word{n} " * (n + 1)),
                 language="en" if n < 20 else "zh")
        for n in range(40)
    ]  # fmt: skip
    verdicts = [verdict(f"d{n:02d}", 0, 5 if n < 20 else 1) for n in range(40)]
    _prepare(tmp_path, talks, verdicts)
    shift = json.loads((tmp_path / "sft_train.shift.json").read_text())
    by_name = {each["feature"]: each for each in shift["features"]}
    assert by_name["language"]["whole"] == {"en": 0.5, "zh": 0.5}
    assert by_name["language"]["kept"] == {"en": 1.0, "zh": 0.0}
    assert by_name["language"]["distance"] == 0.5
    assert by_name["language"]["is_shifted"]
    assert not by_name["topic"]["is_shifted"]
    assert "language differs by 0.50" in caplog.text
    assert "answer_chars differs" in caplog.text

"""Text of evaluation sets in training samples."""

import json
import random

import pytest
from samples_for_tests import arithmetic, clean, ids, make_sample, word_lists

from sluice.errors import DataError
from sluice.records import write_samples
from sluice.similarity.evaluation_texts import read_questions

FILLER = [
    sample.model_copy(update={"id": f"f{sample.id}"}) for sample in word_lists(60) + arithmetic(60)
]
ENGLISH = [
    "A lighthouse keeper climbs 142 steps twice a day. How many steps does she climb in a week?",
    "Which of the two bridges over the Orne was rebuilt in stone after the flood of that winter?",
    "The baker sells rye loaves in the morning and leaves the seed cakes for the late customers.",
    "Explain to a child why the moon seems to follow the car on a night drive along the coast.",
]
CHINESE = [
    "灯塔看守人每天要爬一百四十二级台阶两次，一个星期总共要爬多少级台阶？",
    "奥恩河上的两座桥，哪一座是在那年冬天发大水以后用石头重新修建起来的？",
    "请向小朋友解释，为什么夜里坐车沿着海边走的时候，月亮好像一直跟着我们？",
]


@pytest.fixture
def questions(tmp_path):
    """A file of evaluation samples in both languages."""
    path = tmp_path / "evaluation.jsonl"
    texts = ENGLISH + CHINESE
    write_samples(
        path, [make_sample(n, text, "kept secret", dataset="e") for n, text in enumerate(texts)]
    )
    return path


def _edit(text, rng, *, changes):
    """Changes letters, case, punctuation and white space; numbers stay."""
    letters = list(text)
    places = [place for place, letter in enumerate(letters) if letter.isalpha()]
    for place in rng.sample(places, changes):
        letters[place] = rng.choice("qxz" if letters[place].isascii() else "乙丁戊")
    edited = "".join(letters).replace(",", rng.choice(["", ";"])).replace("，", rng.choice(" ,"))
    return rng.choice([edited.upper(), edited.title(), edited + " !", edited.replace(" ", "  ")])


@pytest.mark.parametrize("text", ENGLISH + CHINESE)
@pytest.mark.parametrize("place", ["{}", "Please answer. {} Thank you.", "请回答。{}谢谢。"])
def test_verbatim_copy_is_dropped_and_its_span_written(tmp_path, questions, text, place):
    planted = make_sample(1, place.format(text), "An answer.")
    kept, rejected, _ = clean(tmp_path / "run", [*FILLER, planted], evaluation=[questions])
    assert kept == ids(FILLER)
    reason, detail = rejected["t_1"]
    assert reason == "evaluation_overlap"
    line = (ENGLISH + CHINESE).index(text) + 1
    assert f"line {line} of {questions}" in detail
    assert text[:5].lower().replace(" ", "") in detail


def test_copy_in_the_response_is_dropped(tmp_path, questions):
    planted = make_sample(1, "Write me a riddle.", f"Here is one: {ENGLISH[0]}")
    _, rejected, _ = clean(tmp_path / "run", [*FILLER, planted], evaluation=[questions])
    assert set(rejected) == {"t_1"}


def test_ninety_five_percent_of_light_edits_are_dropped(tmp_path, questions):
    rng = random.Random(3)
    planted = [
        make_sample(n, _edit(text, rng, changes=2), "An answer.")
        for n, text in enumerate((ENGLISH + CHINESE) * 15)
    ]
    kept, rejected, _ = clean(tmp_path / "run", [*FILLER, *planted], evaluation=[questions])
    assert set(ids(FILLER)) <= set(kept)
    found = [each for each in rejected.values() if each[0] == "evaluation_overlap"]
    assert len(found) >= 0.95 * len(planted)


def test_one_question_of_a_template_is_found_and_its_neighbours_stay(tmp_path):
    samples = arithmetic(200) + word_lists(100)
    asked = [samples[7], samples[230], samples[231]]
    path = tmp_path / "evaluation.jsonl"
    write_samples(path, asked)
    kept, rejected, _ = clean(tmp_path / "run", samples, evaluation=[path])
    assert set(rejected) == set(ids(asked))
    assert len(kept) == 297


def test_shared_instruction_is_boilerplate(tmp_path):
    rule = "Answer with a single number and nothing else, and do not explain how you found it: "
    samples = [make_sample(n, f"{rule}{n} + 5", str(n + 5)) for n in range(100)]
    path = tmp_path / "evaluation.txt"
    path.write_text(f"{rule}700 + 5\n{rule}31 + 5\n")
    _, rejected, _ = clean(tmp_path / "run", samples, evaluation=[path])
    assert set(rejected) == {"t_31"}


def test_shared_run_counts_from_the_configured_length(tmp_path):
    run = "abcdefghijklmnopqrstuvwxyzabcd"  # 30 letters
    path = tmp_path / "evaluation.txt"
    path.write_text(f"before 1 {run} 2 after\n")
    samples = [
        make_sample(1, "Say it.", f"x {run} y"),
        make_sample(2, "Say it again.", f"x {run[:-1]} y"),
    ]
    kept, rejected, _ = clean(tmp_path / "a", samples, evaluation=[path])
    assert kept == ["t_2"]
    assert rejected["t_1"][1] == f"a part of line 1 of {path}: {run}"
    assert clean(tmp_path / "b", samples, evaluation=[path], overlap_ngram=31)[0] == ["t_1", "t_2"]
    assert clean(tmp_path / "c", samples, evaluation=[path], overlap_ngram=29)[0] == []


def test_ten_chinese_characters_weigh_as_much_as_thirty_letters(tmp_path):
    run = "两座桥中哪座先建起来"
    path = tmp_path / "evaluation.txt"
    path.write_text(f"请问甲{run}乙呢\n", encoding="utf-8")
    samples = [make_sample(1, "说。", f"丙{run}丁"), make_sample(2, "说吧。", f"丙{run[1:]}丁")]
    kept, rejected, _ = clean(tmp_path / "run", samples, evaluation=[path])
    assert kept == ["t_2"]
    assert rejected["t_1"][1].endswith(run)


def test_run_does_not_cross_from_prompt_to_response(tmp_path):
    path = tmp_path / "evaluation.txt"
    path.write_text("abcdefghijklmnopqrstuvwxyzabcdefgh\n")
    samples = [make_sample(1, "abcdefghijklmnopqrst", "uvwxyzabcdefgh")]
    assert clean(tmp_path / "run", samples, evaluation=[path])[0] == ["t_1"]


def test_short_question_counts_only_as_the_whole_prompt(tmp_path):
    path = tmp_path / "evaluation.txt"
    path.write_text("What is 4 + 5?\n")
    samples = [
        make_sample(1, "what is 4+5 ?", "9"),
        make_sample(2, "What is 4 - 5?", "-1"),
        make_sample(3, "What is 4 + 50?", "54"),
    ]
    kept, rejected, _ = clean(tmp_path / "run", samples, evaluation=[path])
    assert kept == ["t_2", "t_3"]
    assert rejected["t_1"][0] == "evaluation_overlap"


def test_answers_of_an_evaluation_set_are_not_compared(tmp_path):
    path = tmp_path / "evaluation.jsonl"
    answer = "Velgrad has been the capital of Druland since the old harbour town burned down."
    path.write_text(json.dumps({"question": "Which city rules Druland?", "answer": answer}) + "\n")
    samples = [make_sample(1, "Tell me about Druland.", answer)]
    assert clean(tmp_path / "run", samples, evaluation=[path])[0] == ["t_1"]


def test_result_does_not_depend_on_the_order_of_rows(tmp_path, questions):
    rng = random.Random(4)
    texts = [_edit(text, rng, changes=n) for n in range(4) for text in ENGLISH + CHINESE]
    samples = [make_sample(n, text, "Yes.") for n, text in enumerate(texts)] + FILLER
    _, rejected, clusters = clean(tmp_path / "a", samples, evaluation=[questions])
    random.Random(5).shuffle(samples)
    _, rejected_again, clusters_again = clean(tmp_path / "b", samples, evaluation=[questions])
    assert rejected_again == rejected
    assert clusters_again == clusters


def _texts(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return [question.text for question in read_questions([path])]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"messages": [{"role": "user", "content": "A?"}, {"role": "assistant"}]}, ["a"]),
        ({"question": "A?", "answer": "b"}, ["a"]),
        ({"instruction": "A", "input": "b", "output": "c"}, ["a", "b"]),
        ({"prompt": ["A?", "B?"], "id": 1}, ["a", "b"]),
        ({"headline": "A", "tags": ["b"], "n": 3}, ["a", "b"]),
    ],
)
def test_questions_are_found_in_any_object(tmp_path, entry, expected):
    assert _texts(tmp_path, "e.jsonl", json.dumps(entry) + "\n") == expected


def test_text_file_holds_one_text_a_line(tmp_path):
    assert _texts(tmp_path, "e.txt", "One two\n\n三\n") == ["onetwo", "三"]


def test_missing_evaluation_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="does not exist") as caught:
        read_questions([tmp_path / "none.jsonl"])
    assert caught.value.where == "data.evaluation_texts"


def test_broken_evaluation_line_is_an_error(tmp_path):
    (tmp_path / "e.jsonl").write_text('{"question": "ok"}\n[1]\n')
    with pytest.raises(DataError, match="line 2 is not a JSON object"):
        read_questions([tmp_path / "e.jsonl"])


def test_real_gsm8k_copies_are_all_found_among_real_problems(tmp_path, shared_data):
    lines = {
        name: [json.loads(line) for line in (shared_data / "gsm8k" / name).open(encoding="utf-8")]
        for name in ("train.jsonl", "test.jsonl")
    }
    samples = [
        make_sample(n, row["question"], row["answer"])
        for n, row in enumerate(lines["train.jsonl"][:1500])
    ]
    planted = [
        make_sample(n, row["question"], row["answer"], dataset="p")
        for n, row in enumerate(lines["test.jsonl"][:200])
    ]
    test = shared_data / "gsm8k" / "test.jsonl"
    _, rejected, _ = clean(tmp_path, samples + planted, evaluation=[test])
    assert set(ids(planted)) <= set(rejected)
    # Four of 1,500 training problems share a sentence with a test problem.
    assert set(rejected) - set(ids(planted)) == {"t_20", "t_406", "t_1314", "t_1439"}

"""What holds for every text, and for every reference answer of GSM8K."""

import json
import random
import unicodedata
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.grading.choosing import make_grader
from sluice.grading.grade import Grade
from sluice.grading.legal_forms import read_term
from sluice.grading.number import grade_number, write_number
from sluice.grading.parsing import normalise, split_reasoning
from sluice.settings.grading import GraderSettings

CHARGE = {"charge": "盗窃罪", "prison_time": 36}

# Settings, a reference, a right answer and what it is in the grader's normal form.
EXAMPLES = {
    "exact": ({}, {"answer": "Paris"}, "Paris", "Paris"),
    "number": ({}, {"answer": "1234"}, "#### 1,234", "1234"),
    "label": ({"labels": ("real defect", "疑似误报")}, {"answer": "疑似误报"}, *["疑似误报"] * 2),
    "regex": ({"pattern": r"Result: (\w+)"}, {"answer": "red"}, "Result: red", "red"),
    "legal_judgment": ({}, CHARGE, "<answer> 盗窃罪 | 36 </answer>", "盗窃 | 36"),
    "legal_verdict": ({}, CHARGE, "V | 36", "V | 36"),
}
GRADERS = {
    name: make_grader(GraderSettings(grader=name, **choices))
    for name, (choices, *_) in EXAMPLES.items()
}

# Pieces that mean something to some grader, put together in any order.
THINK_TAGS = ("<think>", "</think>", "<THINK>", "＜/think＞")
MARKS = ("<answer>", "</answer>", "＜answer＞", "####", "A:", "Answer:", "答案：", "the answer is ")
SIGNS = ("\\boxed{", "}", "\\frac{1}{0}", ",", ".", "/", "-", "+", "$", "%", "|", "｜")
DIGITS = ("0", "1", "36", "5️⃣", "²", "½", "５", "٣", "9" * 40, "9" * 400)
WORDS = (
    "V",
    "NV",
    "XT",
    "死刑",
    "年",
    "个月",
    "不违规",
    "盗窃罪",
    "罪",
    "疑似误报",
    "疑似",
    "red",
    "Paris",
)
SPACES_AND_ODDITIES = ("\n", " ", "\t", "\u2028", "\u200b", "\ufeff", "\u0338", "\ud800", "\0")
PIECES = (*MARKS, *SIGNS, *DIGITS, *WORDS, *SPACES_AND_ODDITIES, "Result: ", "real defect")


def _texts(pieces):
    piece = st.sampled_from(pieces) | st.text(max_size=8)
    return st.lists(piece, max_size=30).map("".join)


TEXTS = _texts(PIECES + THINK_TAGS)
TEXTS_WITHOUT_THINK_TAGS = _texts(PIECES).filter(
    lambda text: "think" not in normalise(text).lower()
)
# No marker of any grader can be made of these.
HARMLESS = st.text(alphabet="bdgkmuy 0123456789.,+=的了为何\n\u3000，。", max_size=60)


@pytest.mark.parametrize("name", GRADERS)
@settings(deadline=None, max_examples=300)
@given(text=TEXTS, is_cut_off=st.booleans())
def test_no_text_raises_and_an_answer_comes_with_its_verdict(name, text, is_cut_off):
    _, reference, *_ = EXAMPLES[name]
    grade = GRADERS[name](text, reference, is_cut_off=is_cut_off)
    assert (grade.answer is not None) == (grade.verdict in ("correct", "wrong"))
    assert (grade.verdict == "correct") == (grade.answer == EXAMPLES[name][3])
    assert is_cut_off or grade.verdict != "cut_off"
    if grade.answer is not None:
        grade.answer.encode()


@pytest.mark.parametrize("name", GRADERS)
@settings(deadline=None)
@given(reasoning=TEXTS_WITHOUT_THINK_TAGS)
def test_right_answer_stays_right_behind_any_reasoning(name, reasoning):
    _, reference, completion, answer = EXAMPLES[name]
    for opening in ("<think>", ""):
        text = f"{opening}{reasoning}</think>\n{completion}"
        assert GRADERS[name](text, reference) == Grade("correct", answer)


@pytest.mark.parametrize("name", [name for name in GRADERS if name != "exact"])
@settings(deadline=None)
@given(before=HARMLESS, after=HARMLESS)
def test_right_answer_stays_right_between_lines_without_marker(name, before, after):
    _, reference, completion, answer = EXAMPLES[name]
    text = f"{before}\n{completion}\n{after}"
    assert GRADERS[name](text, reference) == Grade("correct", answer)
    assert GRADERS[name](f"{text}\n", reference, is_cut_off=True) == Grade("correct", answer)


@pytest.mark.parametrize("name", GRADERS)
@settings(deadline=None)
@given(text=TEXTS)
def test_answer_inside_the_reasoning_never_counts(name, text):
    _, reference, completion, _ = EXAMPLES[name]
    while_thinking = f"{text}<think>{completion}"
    assert GRADERS[name](while_thinking, reference, is_cut_off=True).verdict == "cut_off"
    assert GRADERS[name](f"<think>{completion}</think>", reference).verdict == "only_in_reasoning"
    assert GRADERS[name](f"<think>{completion}", reference).verdict == "only_in_reasoning"


@pytest.mark.parametrize("name", GRADERS)
@settings(deadline=None)
@given(text=TEXTS)
def test_full_width_is_the_same_text(name, text):
    _, reference, *_ = EXAMPLES[name]
    widened = "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)
    assert normalise(widened) == normalise(text)
    assert GRADERS[name](widened, reference) == GRADERS[name](text, reference)


@given(st.text())
def test_plain_text_is_normalised_as_unicode_says(text):
    # Without line ends, invisible characters, minus signs and other numbers nothing else differs.
    plain = "".join(
        char
        for char in text
        if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp", "No", "So", "Lo")
        and char not in "\u2212\xaa\xba"
    )
    assert normalise(plain) == unicodedata.normalize("NFKC", plain)


@given(st.lists(st.sampled_from(["a", "b", "<think>", "</think>"])))
def test_every_letter_stands_inside_or_outside_of_a_block(parts):
    text = "".join(parts)
    found = split_reasoning(text)
    assert found.outside.replace("\n", "") == _outside_of_blocks(text)
    assert found.is_open == (text.rfind("<think>") > text.rfind("</think>"))
    letters = [part for part in parts if len(part) == 1]
    assert sorted((found.outside + found.reasoning).replace("\n", "")) == sorted(letters)


def _outside_of_blocks(text):
    """Plain reference: takes one block after the other off the front."""
    outside = ""
    while "think>" in text:
        before, _, rest = text.partition("</think>")
        if "<think>" not in before:  # this end closes nothing: all before it was reasoning
            outside, text = "", rest
            continue
        outside += text.partition("<think>")[0]
        text = rest
    return outside + text


# -- numbers, against Python's own fractions


@st.composite
def written_numbers(draw):
    """(A number, one of the ways to write it)."""
    value = Decimal(draw(st.integers(-(10**9), 10**9))).scaleb(-draw(st.integers(0, 4)))
    text = format(abs(value), draw(st.sampled_from([",", "f", ",f"])))
    text = text + draw(st.sampled_from(["", "0", "00"])) if "." in text else text
    text = draw(st.sampled_from(["", "$", "€", "\\$"])) + text
    sign = draw(st.sampled_from(["-", "\u2212"])) if value < 0 else draw(st.sampled_from(["", "+"]))
    end = draw(st.sampled_from(["", "%", ".", " eggs", "元", "**", "\n"]))
    return Fraction(value), sign + text + end


MARKERS = st.sampled_from(
    ["#### {}", "A: {}", "So the answer is {}", "答案：{}", "x \\boxed{{{}}} y"]
)


@settings(deadline=None)
@given(written_numbers(), written_numbers(), MARKERS)
def test_numbers_are_equal_exactly_where_their_fractions_are(first, second, marker):
    (value, text), (other, _) = first, second
    completion = marker.format(text)
    assert grade_number(completion, {"answer": str(value)}).is_correct
    expected = Grade("correct" if value == other else "wrong", write_number(value))
    assert grade_number(completion, {"answer": str(other)}) == expected


@given(st.fractions())
def test_normal_form_of_a_number_is_that_number(value):
    text = write_number(value)
    assert Fraction(text) == value
    rest = value.denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    assert ("/" in text) == (rest != 1), "decimals end exactly where only twos and fives divide"


@given(st.integers(0, 999), st.integers(0, 99))
def test_years_are_twelve_months(years, months):
    assert read_term(f"{years}年") == read_term(f"{years} years") == str(12 * years)
    assert read_term(f"{years}年{months}个月") == str(12 * years + months)
    assert read_term(f"{months}") == read_term(f"{months} 个月") == str(months)


# -- GSM8K


def _gsm8k(shared_data):
    rows = []
    for name in ("train", "test"):
        for line in (shared_data / "gsm8k" / f"{name}.jsonl").read_text().split("\n"):
            if line:
                answer = json.loads(line)["answer"]
                rows.append((answer, answer.rpartition("####")[2].strip()))
    return rows


def test_every_gsm8k_reference_is_right_for_its_own_number(shared_data):
    rows = _gsm8k(shared_data)
    assert len(rows) == 8792
    verdicts = [grade_number(text, {"answer": number}).verdict for text, number in rows]
    assert set(verdicts) == {"correct"}


def test_shuffled_gsm8k_references_are_right_only_where_numbers_are_equal(shared_data):
    rows = _gsm8k(shared_data)
    others = [number for _, number in rows]
    random.Random(1).shuffle(others)
    num_equal = 0
    for (text, number), other in zip(rows, others, strict=True):
        is_equal = Decimal(number.replace(",", "")) == Decimal(other.replace(",", ""))
        verdict = grade_number(text, {"answer": other}).verdict
        assert verdict == ("correct" if is_equal else "wrong")
        num_equal += is_equal
    assert 0 < num_equal < 0.05 * len(rows)

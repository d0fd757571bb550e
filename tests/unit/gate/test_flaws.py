"""A flawed copy differs from its sample in one answer, and the seed decides how."""

import random
import re
from collections import Counter

import pytest
from gate_samples import make_sample, make_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.gate.flaws import FLAWS, flawed_copy
from sluice.records import Message, Sample
from sluice.settings.gate import WarmUp

ANSWER = "In 2011 it was 18 months, and then 250 days; nobody knows what came later."
DONOR = "Rain falls when the drops are too heavy to float in the air."
TEXTS = st.text(min_size=1, max_size=40).filter(str.strip)


def _copy(sample, donor, *flaws, seed=0):
    return flawed_copy(sample, donor=donor, flaws=flaws, seed=seed)


def _answers(kind, *, answer=ANSWER, donor=DONOR):
    """The kind's flawed answers of forty seeds."""
    sample, other = make_sample(1, answer), make_sample(2, donor)
    return [_copy(sample, other, kind, seed=seed).messages[-1].content for seed in range(40)]


def test_settings_name_every_kind():
    assert set(WarmUp().warm_up_flaws) == set(FLAWS)
    assert len(FLAWS) == 7


@pytest.mark.parametrize("kind", FLAWS)
def test_copy_differs_in_its_last_answer_alone(kind):
    samples = make_samples(12)
    for place, sample in enumerate(samples):
        copy = _copy(sample, samples[place - 1], kind, seed=place)
        assert copy.messages[-1] != sample.messages[-1]
        assert copy.messages[-1].content.strip()
        assert copy.messages[-1].role == "assistant"
        assert copy.messages[:-1] == sample.messages[:-1]
        assert copy.model_copy(update={"messages": sample.messages}) == sample


@pytest.mark.parametrize("kind", FLAWS)
def test_seed_alone_decides_the_flaw(kind):
    assert _answers(kind) == _answers(kind)


@pytest.mark.parametrize("kind", sorted(set(FLAWS) - {"swapped_answer", "mixed_answers"}))
def test_seeds_differ(kind):
    assert len(set(_answers(kind))) > 3


def test_all_kinds_are_drawn():
    sample, donor = make_sample(1, ANSWER), make_sample(2, DONOR)
    copies = [_copy(sample, donor, *FLAWS, seed=seed).messages[-1].content for seed in range(200)]
    assert sum(copy == DONOR for copy in copies) == pytest.approx(200 / 7, abs=20)
    assert len(set(copies)) > 100


def test_swapped_answer_is_the_other_samples():
    assert set(_answers("swapped_answer")) == {DONOR}


def test_cut_off_answer_is_a_beginning_of_a_fifth_to_four_fifths():
    for flawed in _answers("cut_off"):
        assert ANSWER.startswith(flawed)
        assert int(0.2 * len(ANSWER)) <= len(flawed) <= 0.8 * len(ANSWER)


def test_noise_replaces_a_tenth_to_a_third_of_the_characters():
    long = ANSWER * 20
    for flawed in _answers("noisy_characters", answer=long):
        assert len(flawed) == len(long)
        share = sum(a != b for a, b in zip(flawed, long, strict=True)) / len(long)
        assert 0.07 < share < 0.37  # 1,480 characters: within 3 standard errors of the bounds


def test_repetition_says_one_part_of_the_answer_again():
    for flawed in _answers("repetition"):
        extra = len(flawed) - len(ANSWER)
        assert extra > 0
        assert any(
            flawed == ANSWER[:end] + ANSWER[end - size : end] * (extra // size) + ANSWER[end:]
            for size in range(1, extra + 1)
            if extra % size == 0 and 2 <= extra // size <= 4
            for end in range(size, len(ANSWER) + 1)
        )


@pytest.mark.parametrize("answer", [ANSWER, "答案是十七。先算括号里的数。"])
def test_shuffled_answer_has_the_same_characters(answer):
    for flawed in _answers("shuffled_words", answer=answer):
        assert Counter(flawed) == Counter(answer)
        assert flawed != answer


def test_shuffled_answer_keeps_its_words_whole():
    words = re.findall(r"\w+", ANSWER)
    # Without the blanks and signs that stood between them, words may touch.
    assert all(all(word in flawed for word in words) for flawed in _answers("shuffled_words"))


def test_half_of_the_digits_are_changed_and_nothing_else():
    for flawed in _answers("changed_digits"):
        changed = [(a, b) for a, b in zip(flawed, ANSWER, strict=True) if a != b]
        assert len(changed) == 5  # half of nine, rounded up
        assert all(a.isdecimal() and b.isdecimal() for a, b in changed)


def test_mixed_answer_begins_as_its_own_and_ends_as_the_others():
    assert set(_answers("mixed_answers")) == {ANSWER[:37] + DONOR[30:]}


def test_kind_that_changes_nothing_gives_way_to_the_next():
    sample, donor = make_sample(1, "No digits here."), make_sample(2, DONOR)
    for seed in range(20):
        copy = _copy(sample, donor, "changed_digits", "swapped_answer", seed=seed)
        assert copy.messages[-1].content == DONOR


def test_answer_that_no_kind_changes_is_cut_to_its_first_character():
    copy = _copy(make_sample(1, "No digits."), make_sample(2, DONOR), "changed_digits")
    assert copy.messages[-1].content == "N"


def test_only_character_that_no_kind_changes_is_said_twice():
    copy = _copy(make_sample(1, "B"), make_sample(2, "B"), "cut_off", "swapped_answer")
    assert copy.messages[-1].content == "BB"


def test_flaw_is_in_the_last_answer_that_says_something():
    sample = make_sample(1, "", earlier=(("First?", ANSWER),))
    copy = _copy(sample, make_sample(2, DONOR), "cut_off")
    assert copy.messages[1] != sample.messages[1]
    assert [copy.messages[i] for i in (0, 2, 3)] == [sample.messages[i] for i in (0, 2, 3)]


@settings(deadline=None)
@given(
    answer=TEXTS,
    donor=TEXTS,
    flaws=st.lists(st.sampled_from(sorted(FLAWS)), min_size=1, max_size=3, unique=True),
    seed=st.integers(0, 2**63 - 1),
)
def test_no_answer_comes_back_as_it_was(answer, donor, flaws, seed):
    sample, other = make_sample(1, answer), make_sample(2, donor)
    copy = _copy(sample, other, *flaws, seed=seed)
    assert copy.messages[-1].content not in ("", answer)
    assert copy.messages[:-1] == sample.messages[:-1]


@settings(deadline=None)
@given(answer=TEXTS, donor=TEXTS, seed=st.integers(0, 2**32))
def test_kinds_are_functions_of_their_arguments(answer, donor, seed):
    for flaw in FLAWS.values():
        first = flaw(answer, donor, random.Random(seed))
        assert flaw(answer, donor, random.Random(seed)) == first


def test_sample_before_is_left_as_it_was():
    sample = make_sample(1, ANSWER)
    before = Sample.model_validate(sample.model_dump())
    _copy(sample, make_sample(2, DONOR), *FLAWS)
    assert sample == before
    assert sample.messages[-1] == Message(role="assistant", content=ANSWER)

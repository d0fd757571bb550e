"""The forms in which texts are compared."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.similarity.minhash import Bags, gram_bags, jaccard, min_hashes, rows_per_band
from sluice.similarity.text_forms import (
    character_places,
    compact,
    encode,
    facts,
    grams,
    normalise,
    window_hashes,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  A\t b\u3000C\n", "a b c"),
        ("Ｗｈａｔ？", "what?"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ﬁne", "fine"),
        ("cafe\u0301", "café"),
        ("", ""),
    ],
)
def test_normalising_folds_form_case_and_white_space(text, expected):
    assert normalise(text) == expected


def test_compact_text_has_letters_and_digits_of_every_script():
    assert compact(normalise("Hi, 你好！ snake_case 42 — é")) == "hi你好snakecase42é"


def test_a_text_without_letters_keeps_its_signs():
    assert compact("+ - +") == "+-+"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 + 3 = 5", "2 + 3 = 5"),
        ("5 - 3", "5 - 3"),
        ("well-known since 1987", "1987"),
        ("损失90马克", "90"),
        ("none", ""),
    ],
)
def test_facts_are_numbers_and_their_signs(text, expected):
    assert facts(text) == expected


def test_a_wide_character_stands_for_three():
    codes = encode(["ab", "你c", ""])
    assert codes.values.tolist() == [97, 98, *[ord("你")] * 3, 99]
    assert codes.starts.tolist() == [0, 2, 6, 6]
    assert character_places("a你b").tolist() == [0, 1, 1, 1, 2]


@given(
    st.lists(st.integers(0, 3), max_size=40),
    st.integers(1, 9),
)
def test_equal_runs_and_only_they_have_equal_hashes(values, length):
    hashes = window_hashes(np.array(values, dtype=np.uint64), length=length)
    runs = [tuple(values[i : i + length]) for i in range(len(values) - length + 1)]
    assert len(hashes) == len(runs)
    assert len(set(hashes.tolist())) == len(set(runs))
    assert len(set(zip(runs, hashes.tolist(), strict=True))) == len(set(runs))


@given(st.lists(st.text("ab你", max_size=6), max_size=6))
def test_no_gram_crosses_from_one_text_to_the_next(texts):
    found = grams(encode(texts), length=4)
    alone = [grams(encode([text]), length=4).hashes.tolist() for text in texts]
    assert found.hashes.tolist() == [value for values in alone for value in values]
    assert found.owners.tolist() == [i for i, values in enumerate(alone) for _ in values]


def _bag(text, length):
    return gram_bags([text], length=length).bag(0)


def test_jaccard_by_hand():
    # abcde: abc bcd cde; bcdef: bcd cde def. Two shared of four.
    assert jaccard(_bag("abcde", 3), _bag("bcdef", 3)) == 0.5
    assert jaccard(_bag("abcde", 3), _bag("abcde", 3)) == 1
    assert jaccard(_bag("abc", 3), _bag("xyz", 3)) == 0
    none = np.zeros(0, dtype=np.uint64)
    assert jaccard(none, none) == 0


def test_a_text_and_its_repetition_differ():
    # ababab: aba bab aba bab, abab: aba bab. Two shared of four.
    assert jaccard(_bag("ababab", 3), _bag("abab", 3)) == 0.5


def test_a_text_shorter_than_a_gram_equals_only_itself():
    assert jaccard(_bag("ab", 5), _bag("ab", 5)) == 1
    assert jaccard(_bag("ab", 5), _bag("abc", 5)) == 0
    assert len(_bag("", 5)) == 1


def test_min_hashes_estimate_jaccard_within_four_standard_deviations():
    elements = np.random.default_rng(0).integers(0, 2**63, 900, dtype=np.uint64)
    both = Bags(np.concatenate([elements[:600], elements[300:]]), np.array([0, 600, 1200]))
    first, second = min_hashes(both, num_permutations=1024)
    exact = 300 / 900
    assert abs((first == second).mean() - exact) < 4 * (exact * (1 - exact) / 1024) ** 0.5


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 0.95])
def test_bands_propose_a_pair_at_the_threshold_almost_surely(threshold):
    rows = rows_per_band(threshold, num_permutations=128)
    assert (1 - threshold**rows) ** (128 // rows) <= 0.001
    assert (1 - threshold ** (rows + 1)) ** (128 // (rows + 1)) > 0.001


def test_few_permutations_still_give_bands():
    assert rows_per_band(0.1, num_permutations=16) == 1

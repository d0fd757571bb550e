"""Exact and near duplicates, and clusters."""

import json
import random

import numpy as np
import pytest
from samples_for_tests import arithmetic, clean, ids, make_sample, word_lists

from sluice.data.clusters import _join
from sluice.errors import DataError
from sluice.similarity.survey import id_key

RIVER = (
    "Rivers carry sand and clay to the sea, and where the water slows down they drop their load. "
    "Over many years the load grows into a delta, a flat and fertile land that people like to farm."
)
HARBOUR = (
    "A harbour needs deep water, shelter from waves, and a road or a railway that leads inland. "
    "Where one of the three is missing, engineers dredge, build a pier, or lay new tracks."
)
CHINESE = (
    "河流把泥沙带到海边，水流变慢的地方泥沙就沉下来，年复"
    "一年堆成肥沃平坦的三角洲，人们喜欢在那里种地。"
)
FILLER = word_lists(40) + arithmetic(40)


@pytest.mark.parametrize(
    "copy",
    [
        "Why do deltas form?",
        "why do DELTAS form?",
        "  Why do\n deltas\tform?",
        "Ｗｈｙ do deltas form？",
    ],
)
def test_exact_duplicate_after_normalising_is_dropped(tmp_path, copy):
    samples = [
        make_sample(1, "Why do deltas form?", RIVER),
        make_sample(2, copy, RIVER),
    ]
    kept, rejected, _ = clean(tmp_path, samples)
    assert kept == ["t_1"]
    assert rejected == {"t_2": ("exact_duplicate", "of t_1")}


def test_near_duplicate_is_dropped_and_names_original_and_similarity(tmp_path):
    edited = RIVER.replace("fertile", "fertle").replace(",", ";")
    samples = [
        make_sample(1, "Why do deltas form at a river?", RIVER),
        make_sample(2, "why do deltas form at a river", edited),
    ]
    kept, rejected, _ = clean(tmp_path, samples)
    assert kept == ["t_1"]
    reason, detail = rejected["t_2"]
    assert reason == "near_duplicate"
    # The prompts share all 19 5-grams of their 23 letters.
    similarity = (_shared(RIVER, edited) + 19) / (_union(RIVER, edited) + 19)
    assert detail == f"{similarity:.3f} similar to t_1"


def _five_grams(text):
    """An independent reference: plain sets (no 5-gram repeats in these texts)."""
    letters = "".join(character for character in text.lower() if character.isalnum())
    return {letters[i : i + 5] for i in range(len(letters) - 4)}


def _shared(first, second):
    return len(_five_grams(first) & _five_grams(second))


def _union(first, second):
    return len(_five_grams(first) | _five_grams(second))


def test_chinese_near_duplicate_is_dropped(tmp_path):
    samples = [
        make_sample(1, "三角洲是怎么形成的？", CHINESE),
        make_sample(2, "三角洲是怎么形成的", CHINESE.replace("肥沃", "肥美")),
    ]
    kept, rejected, _ = clean(tmp_path, samples)
    assert kept == ["t_1"]
    assert rejected["t_2"][0] == "near_duplicate"


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        pytest.param("Why do deltas form at a river?", HARBOUR, id="answer of another sample"),
        pytest.param("Why do deltas form at a river?", RIVER[:120], id="cut off"),
        pytest.param("Why do deltas form at a river?", RIVER * 3, id="repetition"),
        pytest.param("Why do deltas form at a river?", "No.", id="short answer"),
        pytest.param("Tell me about ports and railways.", RIVER, id="another prompt"),
        pytest.param("Why do deltas form at a river?", CHINESE, id="wrong language"),
    ],
)
def test_same_prompt_with_another_answer_is_no_duplicate(tmp_path, prompt, response):
    first = make_sample(1, "Why do deltas form at a river?", RIVER)
    kept, rejected, _ = clean(tmp_path, [first, make_sample(2, prompt, response)])
    assert kept == ["t_1", "t_2"]
    assert not rejected


@pytest.mark.parametrize(("first", "second"), [("cat", "hat"), ("A", "B"), ("yes", "no")])
def test_short_answers_that_differ_are_not_outweighed_by_a_long_prompt(tmp_path, first, second):
    samples = [make_sample(1, RIVER, first), make_sample(2, RIVER, second)]
    assert clean(tmp_path, samples)[0] == ["t_1", "t_2"]


def test_another_number_in_a_long_text_is_no_duplicate(tmp_path):
    samples = [
        make_sample(n, "How deep is it?", f"{HARBOUR} The water is {n} metres deep.")
        for n in range(5)
    ]
    kept, _, _ = clean(tmp_path, samples)
    assert kept == ids(samples)


def test_templated_samples_are_all_kept(tmp_path):
    kept, rejected, _ = clean(tmp_path, FILLER)
    assert not rejected
    assert kept == ids(FILLER)


def test_copy_of_a_templated_sample_with_a_misspelling_is_dropped(tmp_path):
    prompt, response = (message.content for message in FILLER[6].messages)
    copy = make_sample(1, prompt.replace("reverse", "revrse"), response.upper(), dataset="z")
    kept, rejected, _ = clean(tmp_path, [*FILLER, copy])
    assert rejected["z_1"][0] == "near_duplicate"
    assert f"similar to {FILLER[6].id}" in rejected["z_1"][1]
    assert kept == ids(FILLER)


def test_each_dropped_sample_is_close_to_a_kept_one_not_to_a_chain(tmp_path):
    # Each text shares 9 parts of 10 with its neighbour, and fewer with those further away.
    words = [f"{a}{b}{c}" for a in "bdfgk" for b in ("ala", "ono", "iri") for c in ("m", "n", "s")]
    texts = [" ".join(words[start : start + 30]) for start in range(12)]
    samples = [make_sample(n, "Say them.", text) for n, text in enumerate(texts)]
    kept, rejected, _ = clean(tmp_path, samples)
    assert len(kept) > 1
    for _, detail in rejected.values():
        similarity, original = detail.split(" similar to ")
        assert float(similarity) >= 0.8
        assert original in kept


def test_result_does_not_depend_on_the_order_of_rows(tmp_path):
    copies = [
        make_sample(900 + n, sample.messages[0].content.lower(), sample.messages[1].content + "!")
        for n, sample in enumerate(FILLER[::5])
    ]
    rivers = [make_sample(800 + n, "Rivers?", RIVER[: 180 - n]) for n in range(6)]
    samples = [*FILLER, *copies, *rivers]
    kept, rejected, clusters = clean(tmp_path / "a", samples)
    random.Random(1).shuffle(samples)
    kept_again, rejected_again, clusters_again = clean(tmp_path / "b", samples)
    assert sorted(kept_again) == sorted(kept)
    assert rejected_again == rejected
    assert clusters_again == clusters
    assert len(rejected) >= len(copies)


def test_kept_rows_stay_in_their_order_with_all_fields(tmp_path):
    samples = [make_sample(n, f"Name {n} rivers.", str(n), group="g") for n in (3, 1, 2)]
    kept, _, _ = clean(tmp_path, samples)
    assert kept == ["t_3", "t_1", "t_2"]
    first = json.loads((tmp_path / "clean.jsonl").read_text().splitlines()[0])
    assert first["group"] == "g"


def test_ledger_counts_every_row(tmp_path):
    samples = [make_sample(n, "Why do deltas form?", RIVER) for n in range(4)]
    clean(tmp_path, samples)
    ledger = json.loads((tmp_path / "l.json").read_text())
    assert (ledger["rows_in"], ledger["rows_kept"]) == (4, 1)
    assert ledger["rejected"] == {"exact_duplicate": 3}


def test_first_is_the_first_by_number_not_by_letter(tmp_path):
    samples = [make_sample(n, "Why do deltas form?", RIVER) for n in (10, 9)]
    kept, _, _ = clean(tmp_path, samples)
    assert kept == ["t_9"]
    assert id_key("a_2") < id_key("a_10") < id_key("b_1")


def test_repeated_id_is_an_error(tmp_path):
    samples = [make_sample(1, "One?", "1"), make_sample(1, "Two?", "2")]
    with pytest.raises(DataError, match=r"1 ids stand on several rows \(t_1\)"):
        clean(tmp_path, samples)
    assert not (tmp_path / "clean.jsonl").exists()


def test_empty_file_and_empty_texts_are_legal(tmp_path):
    assert clean(tmp_path / "a", []) == ([], {}, {})
    kept, rejected, _ = clean(tmp_path / "b", [make_sample(1, "", ""), make_sample(2, " ", "\n")])
    assert kept == ["t_1"]
    assert rejected["t_2"][0] == "exact_duplicate"


def test_lone_surrogate_is_no_obstacle(tmp_path):
    # What JSON calls \ud800 is no character; no sample with it is written, so none can arrive here.
    with pytest.raises(DataError, match="sample 't_1' holds half a character"):
        make_sample(1, "a\ud800b", "c").to_line()


def test_same_prompt_with_two_answers_is_one_cluster(tmp_path):
    samples = [
        make_sample(1, "Why do deltas form at a river?", RIVER),
        make_sample(2, "Why do deltas form at a river?", HARBOUR),
        make_sample(3, "What does a harbour need besides ships?", HARBOUR),
    ]
    _, _, clusters = clean(tmp_path, samples)
    assert clusters == {"t_1": "t_1", "t_2": "t_1", "t_3": "t_3"}


def test_templates_do_not_collapse_into_a_cluster(tmp_path):
    _, _, clusters = clean(tmp_path, arithmetic(300) + word_lists(40))
    sizes = np.unique(list(clusters.values()), return_counts=True)[1]
    assert sizes.max() <= 2


def test_cluster_stops_growing_at_its_cap_and_the_most_similar_join_first():
    pairs = sorted([(-0.9, 2, 3), (-0.7, 0, 1), (-0.65, 1, 2)])
    assert _join(pairs, num_samples=4, cap=4).tolist() == [0, 0, 0, 0]
    assert _join(pairs, num_samples=4, cap=3).tolist() == [0, 0, 2, 2]


def test_real_alpaca_rows_lose_only_repetitions(tmp_path, shared_data):
    rows = json.loads((shared_data / "instruct" / "alpaca_en_demo.json").read_text())
    texts = [(f"{row['instruction']}\n{row['input']}".strip(), row["output"]) for row in rows]
    samples = [make_sample(n, prompt, response) for n, (prompt, response) in enumerate(texts)]
    _, rejected, _ = clean(tmp_path, samples)
    # The file repeats 14 rows letter by letter and none in another form.
    assert len(rejected) == len(texts) - len(set(texts)) == 14


@pytest.mark.parametrize(
    ("first", "second", "is_kept"),
    [
        pytest.param("What is 41 - 15?", "What is 41 + 15?", True, id="short"),
        pytest.param(f"{RIVER} -3", f"{RIVER} 3", False, id="a lost sign in a long text"),
        pytest.param(f"{RIVER} +3 +4", f"{RIVER} -3 -4", True, id="many signs"),
    ],
)
def test_signs_count_like_numbers_but_for_an_edit_in_a_long_text(tmp_path, first, second, is_kept):
    samples = [make_sample(1, first, HARBOUR), make_sample(2, second, HARBOUR)]
    assert ("t_2" in clean(tmp_path, samples)[0]) == is_kept

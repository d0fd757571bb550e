import random
import re
from collections import Counter, defaultdict

import pyarrow.parquet as pq
import pytest
from support import ROOT

from sluice.data.demo.building import NearDuplicates, PromptBook, make_samples
from sluice.data.demo.flaws import FLAWS, Material, spoil
from sluice.data.demo.numbers import NumberWorld
from sluice.data.demo.problems import LANGUAGES, Line, Phrases, read_resource
from sluice.data.demo.writing import load_worlds, make_demo_data
from sluice.errors import DataError
from sluice.records import read_samples
from sluice.settings.data import MakeDemoData

RESOURCES = ROOT / "resources" / "demo"
NAMES = ("numbers", "countries", "cases")
SMALL = MakeDemoData(num_samples=140, num_corpus_samples=150, num_heldout_samples=20)


@pytest.fixture(scope="module")
def worlds():
    return load_worlds(RESOURCES, seed=42)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo")
    make_demo_data(RESOURCES, folder=path, settings=SMALL, seed=42)
    return path


def _make(world, number, **changes):
    arguments = {
        "name": "some",
        "number": number,
        "flawed_share": 0.45,
        "seed": 42,
        "prompts": PromptBook(),
    }
    return make_samples(world, **{**arguments, **changes})


def _prompt_and_answer(sample):
    prompt, answer = sample.messages
    return prompt.content, answer.content


def test_the_same_seed_gives_the_same_bytes(folder, tmp_path):
    make_demo_data(RESOURCES, folder=tmp_path, settings=SMALL, seed=42)
    files = sorted(path.name for path in folder.iterdir())
    assert len(files) == 3 * 3 + 2
    for name in files:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_another_seed_gives_another_world(worlds):
    other = load_worlds(RESOURCES, seed=43)
    assert worlds["countries"].countries != other["countries"].countries


def test_no_prompt_occurs_twice_in_all_sets_together(folder):
    prompts = [
        _prompt_and_answer(sample)[0]
        for path in folder.glob("*.jsonl")
        for sample in read_samples(path)
    ]
    assert len(prompts) == 3 * 140 + 3 * 20 + 150
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize("name", NAMES)
def test_flaws_are_spread_evenly_and_the_truth_names_every_sample(folder, name):
    truth = pq.read_table(folder / f"{name}.truth.parquet").to_pylist()
    ids = [sample.id for sample in read_samples(folder / f"{name}.jsonl")]
    assert [row["id"] for row in truth] == ids == [f"{name}_{n}" for n in range(140)]
    # 140 x 0.45 = 63 = 7 kinds x 9
    assert Counter(row["flaw"] for row in truth) == {None: 77, **dict.fromkeys(FLAWS, 9)}
    assert all(row["is_flawed"] == (row["flaw"] is not None) for row in truth)
    assert not any(row["has_slip"] for row in truth)


def test_corpus_holds_the_share_of_flaws_and_slips_only_in_cases(folder):
    truth = pq.read_table(folder / "base_corpus.truth.parquet").to_pylist()
    assert sum(row["is_flawed"] for row in truth) == pytest.approx(0.25 * 150, abs=3)
    with_slip = [row["id"] for row in truth if row["has_slip"]]
    assert 7 <= len(with_slip) <= 23  # 25 % of 60 cases
    assert all(name.startswith("corpus_cases_") for name in with_slip)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_say_whether_it_is_flawed(folder, name):
    for sample in read_samples(folder / f"{name}.jsonl"):
        assert set(sample.model_dump(exclude_none=True)) == {
            "messages",
            "dataset",
            "id",
            "group",
            "reference",
        }
        assert set(sample.reference) == {"answer"}


@pytest.mark.parametrize("name", NAMES)
def test_a_clean_answer_ends_with_the_reference_and_a_held_out_set_is_clean(worlds, folder, name):
    held_out = list(read_samples(folder / f"heldout_{name}.jsonl"))
    clean = [made.sample for made in _make(worlds[name], 60) if made.flaw is None]
    for sample in [*held_out, *clean]:
        assert _prompt_and_answer(sample)[1].endswith(sample.reference["answer"])


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_and_all_kinds_take_equal_parts(worlds, name):
    kinds = worlds[name].kinds
    number = 10 * len(kinds) * len(LANGUAGES)
    groups = Counter(made.sample.group for made in _make(worlds[name], number))
    assert groups == {f"{kind}_{language}": 10 for kind in kinds for language in LANGUAGES}


@pytest.mark.parametrize("name", NAMES)
def test_no_two_samples_are_near_duplicates(worlds, name):
    made = _make(worlds[name], 400)
    by_numbers = defaultdict(list)
    for each in made:
        text = "\n".join(_prompt_and_answer(each.sample))
        grams = {text[at : at + 5] for at in range(len(text) - 4)}
        by_numbers[tuple(re.findall(r"\d+", text))].append(grams)
    for bucket in by_numbers.values():
        for index, grams in enumerate(bucket):
            for other in bucket[:index]:
                assert len(grams & other) / len(grams | other) < 0.8


def test_a_set_does_not_depend_on_the_size_of_its_flawed_share(worlds):
    some = _make(worlds["numbers"], 50, flawed_share=0.0)
    others = _make(worlds["numbers"], 50, flawed_share=0.9)
    prompts = [[_prompt_and_answer(each.sample)[0] for each in made] for made in (some, others)]
    assert prompts[0] == prompts[1]


def test_answers_of_numbers_are_right(worlds):
    operations = {"add": int.__add__, "subtract": int.__sub__}
    for made in _make(worlds["numbers"], 200, flawed_share=0.0):
        prompt, _ = _prompt_and_answer(made.sample)
        kind = made.sample.group.rpartition("_")[0]
        if kind in operations and (found := re.search(r"(\d+)([+-])(\d+)", prompt)):
            a, b = int(found[1]), int(found[3])
            assert made.sample.reference["answer"].endswith(f" {operations[kind](a, b)}") or (
                made.sample.reference["answer"].endswith(f"：{operations[kind](a, b)}")
            )


def test_explanation_of_an_addition_goes_digit_by_digit(worlds):
    texts = {
        _prompt_and_answer(made.sample)
        for made in _make(worlds["numbers"], 400, flawed_share=0.0)
        if made.sample.group == "add_en"
    }
    for prompt, answer in texts:
        a, b = (int(number) for number in re.findall(r"\d+", prompt))
        ones, tens = a % 10 + b % 10, a // 10 + b // 10
        assert answer == (
            f"Ones: {a % 10}+{b % 10}={ones}. Tens: {a // 10}+{b // 10}={tens}. "
            f"Together: {tens * 10}+{ones}={a + b}.\nAnswer: {a + b}"
        )


def test_months_of_a_case_are_the_base_and_its_factors(worlds):
    for made in _make(worlds["cases"], 60, flawed_share=0.0):
        _, answer = _prompt_and_answer(made.sample)
        terms, total = re.search(r"([\d+-]+)=(\d+)", answer).groups()
        assert sum(int(term) for term in re.findall(r"[+-]?\d+", terms)) == int(total)
        assert answer.endswith(f" | {total}")
        assert answer.startswith("<think>")


def test_a_slip_changes_the_total_alone_and_by_one_to_five(worlds):
    world = worlds["cases"]
    problem = world.draw("case", random.Random(1))
    right = problem.solution.conclusion.values["total"]
    for seed in range(30):
        slipped = world.with_slip(problem, random.Random(seed)).solution
        total = slipped.conclusion.values["total"]
        assert 1 <= abs(total - right) <= 5
        assert slipped.steps[-1].values["total"] == total
        assert slipped.steps[:-1] == problem.solution.steps[:-1]


def test_wrong_facts_differ_from_the_right_ones_in_every_value(worlds):
    world = worlds["countries"]
    for seed in range(200):
        problem = world.draw("two_facts", random.Random(seed))
        for right, wrong in zip(problem.solution.steps, problem.wrong.steps, strict=True):
            assert right.values["country"] == wrong.values["country"]
            assert right.values["value"] != wrong.values["value"]


def test_no_name_of_a_country_or_place_is_given_twice(worlds):
    countries = worlds["countries"].countries
    for part in ("country", "capital", "currency", "river"):
        assert len({country[part] for country in countries}) == len(countries)
    assert all(country["neighbour"] != country["country"] for country in countries)


MATERIAL = Material(
    explanation="Ones: 3+2=5. Tens: 1+6=7. Together: 70+5=75.\n",
    conclusion="Answer: 75",
    wrong="Ones: 3+2=4. Tens: 1+6=9. Together: 90+4=94.\nAnswer: 94",
    foreign="个位：3+2=5。十位：1+6=7。合起来：70+5=75。\n答案：75",
    other_explanation="Ones: 1+1=2. Tens: 2+2=4. Together: 40+2=42.\n",
    another="Forwards: fox, dog. Backwards: dog, fox.\nAnswer: dog, fox",
)


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_never_leaves_the_answer_as_it_was(flaw):
    for seed in range(50):
        assert spoil(MATERIAL, flaw, random.Random(seed)) != MATERIAL.answer


def test_wrong_explanation_keeps_the_right_conclusion():
    spoilt = spoil(MATERIAL, "wrong_explanation", random.Random(0))
    assert spoilt == MATERIAL.other_explanation + "Answer: 75"


def test_cut_off_ends_inside_a_word_or_number():
    for seed in range(50):
        spoilt = spoil(MATERIAL, "cut_off", random.Random(seed))
        assert MATERIAL.answer.startswith(spoilt)
        assert len(spoilt) < 0.76 * len(MATERIAL.answer)
        assert (spoilt[-1] + MATERIAL.answer[len(spoilt)]).isalnum()


def test_noise_keeps_the_length_and_changes_an_eighth():
    spoilt = spoil(MATERIAL, "noisy_characters", random.Random(0))
    changed = sum(a != b for a, b in zip(spoilt, MATERIAL.answer, strict=True))
    assert changed == round(0.12 * len(MATERIAL.answer))


def test_repetition_puts_in_what_stood_just_before():
    answer = MATERIAL.answer
    for seed in range(50):
        spoilt = spoil(MATERIAL, "repetition", random.Random(seed))
        assert len(spoilt) > len(answer)
        cuts = [
            at
            for at in range(len(answer) + 1)
            if spoilt.startswith(answer[:at]) and spoilt.endswith(answer[at:])
        ]
        added = len(spoilt) - len(answer)
        assert any(answer[:at].endswith(spoilt[at : at + added][-3:]) for at in cuts)


def test_near_duplicates_need_equal_numbers():
    seen = NearDuplicates()
    assert seen.add("the red fox jumps over 12 lazy dogs")
    assert not seen.add("the red fox jumps over 12 lazy dogs!")
    assert seen.add("the red fox jumps over 13 lazy dogs")


def test_a_phrase_takes_its_language_of_a_pair():
    phrases = Phrases({"say": {"en": ["A {x}, {n}."], "zh": ["一只{x}，{n}。"]}})
    line = Line("say", {"x": ("dog", "狗"), "n": 3})
    assert phrases.render(line, language="en") == "A dog, 3."
    assert phrases.render(line, language="zh") == "一只狗，3。"


def test_every_phrase_has_as_many_variants_in_both_languages():
    books = [
        read_resource(RESOURCES / "numbers.json"),
        read_resource(RESOURCES / "countries.json")["phrases"],
        read_resource(RESOURCES / "cases.json")["phrases"],
    ]
    for book in books:
        for key, texts in book.items():
            assert len(texts["en"]) == len(texts["zh"]), key


def test_no_phrase_is_unused():
    code = "".join(
        path.read_text() for path in (ROOT / "workflow_scripts/sluice/data/demo").glob("*.py")
    )
    for name, part in (("numbers", None), ("countries", "phrases"), ("cases", "phrases")):
        book = read_resource(RESOURCES / f"{name}.json")
        for key in book[part] if part else book:
            stem, _, ending = key.partition("_")
            assert f'"{key}"' in code or f'"{stem}_{{' in code, (key, ending)


def test_a_missing_word_list_is_named(tmp_path):
    with pytest.raises(DataError, match=r"words\.json cannot be read"):
        load_worlds(tmp_path, seed=1)


def test_a_broken_word_list_is_named(tmp_path):
    (tmp_path / "words.json").write_text("{")
    with pytest.raises(DataError, match=r"words\.json cannot be read"):
        load_worlds(tmp_path, seed=1)


def test_a_world_draws_only_its_kinds():
    world = NumberWorld(read_resource(RESOURCES / "numbers.json"), {"categories": []})
    with pytest.raises(AttributeError):
        world.draw("divide", random.Random(0))

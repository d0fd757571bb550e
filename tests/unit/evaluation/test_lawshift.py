"""LawShift: a folder becomes a suite, and graded answers a table."""

from collections import Counter

import pytest
from graded_for_tests import make_graded
from lawshift_for_tests import LABELS_FILE, PROMPTS, RIGHT, all_types, change, make_lawshift

from sluice.errors import DataError
from sluice.evaluation.answers import Answer, prompt_of
from sluice.evaluation.grades import grade_answers
from sluice.evaluation.lawshift import convert_lawshift, read_change_types, read_prompt
from sluice.evaluation.lawshift_report import lawshift_markdown, lawshift_table
from sluice.intervals import difference, share
from sluice.settings.grading import GraderSettings

TYPES = read_change_types(LABELS_FILE)
LAWSHIFT = GraderSettings(grader="lawshift")


@pytest.fixture(scope="module")
def lawshift(tmp_path_factory):
    return make_lawshift(tmp_path_factory.mktemp("law") / "LawShift")


def _suite(folder):
    prompts = {split: read_prompt(path, split=split) for split, path in PROMPTS.items()}
    return list(convert_lawshift(folder, TYPES, prompts=prompts, suite="law"))


def test_labels_are_those_of_the_benchmark(shared_data):
    assert LABELS_FILE.read_bytes() == (shared_data / "lawshift/labels.csv").read_bytes()


def test_there_are_31_change_types_of_six_labels():
    assert len(TYPES) == 31
    counts = Counter(each.label for each in TYPES)
    assert counts == {"V": 13, "NV": 14, "TU": 1, "TD": 1, "XT": 1, "NX": 1}


def test_every_case_becomes_an_item_with_label_and_split(lawshift):
    suite = _suite(lawshift)
    assert [item.id for item in suite] == [f"law_{n}" for n in range(4 * 31)]
    labels = {row["name"]: row["label"] for row in all_types()}
    for item in suite:
        name, _, split = item.group.partition("/")
        assert item.reference == {"label": labels[name], "split": split}
        assert [message.role for message in item.messages] == ["user"]
    assert Counter(item.group for item in suite) == {
        f"{name}/{split}": 2 for name in labels for split in ("original", "poisoned")
    }


def test_original_prompt_gives_the_old_articles_and_the_poisoned_one_old_and_new(lawshift):
    for item in _suite(lawshift):
        text = item.messages[0].content
        number = item.meta["type"]
        is_poisoned = item.group.endswith("/poisoned")
        assert text.count(f"旧法 {number} 盗窃") == 1
        assert text.count(f"新法 {number} 盗窃") == is_poisoned
        if is_poisoned:
            assert text.index("旧法 ") < text.index("新法 ")
        assert text.count("诈骗\n") >= (len(item.meta["relevant_articles"]) - 1)
        assert "{" not in text


def test_braces_in_a_case_are_no_placeholders(tmp_path):
    folder = make_lawshift(tmp_path / "law", num_cases=1)
    place = folder / TYPES[0].name
    change(place / "original.json", lambda cases: cases[0].update(fact="{articles} {x}"))
    change(place / "articles_original.json", lambda articles: articles.update({"264": "{fact}"}))
    text = _suite(folder)[0].messages[0].content
    assert "{fact}" in text
    assert "{articles} {x}" in text


def test_other_folders_and_files_are_left_alone(tmp_path):
    folder = make_lawshift(tmp_path / "law", num_cases=1)
    (folder / ".git").mkdir()
    (folder / "README.md").write_text("x")
    assert len(_suite(folder)) == 62


def _remove(name):
    return lambda folder: (folder / "term_up" / name).unlink()


def _edit(name, edit):
    return lambda folder: change(folder / "term_up" / name, edit)


def _without_folder(folder):
    (folder / "term_up").rename(folder.parent / "elsewhere")


BROKEN = {
    "folder": (_without_folder, r"1 of 31 change types have no folder \(term_up\)"),
    "original": (_remove("original.json"), "change type 'term_up' lacks original.json"),
    "poisoned": (_remove("poisoned.json"), "change type 'term_up' lacks poisoned.json"),
    "articles": (
        _remove("articles_poisoned.json"),
        "change type 'term_up' lacks articles_poisoned.json",
    ),
    "old article": (
        _edit("articles_original.json", lambda articles: articles.pop("264")),
        "change type 'term_up' has no article 264 in articles_original.json",
    ),
    "new article": (
        _edit("articles_poisoned.json", lambda articles: articles.pop("264")),
        "change type 'term_up' has no article 264 in articles_poisoned.json",
    ),
    "no article named": (
        _edit("original.json", lambda cases: cases[1].update(relevant_articles=[])),
        "change type 'term_up' has no article for a case",
    ),
    "fact": (
        _edit("original.json", lambda cases: cases[1].pop("fact")),
        "case 1 of original.json of change type 'term_up' has no 'fact'",
    ),
    "relevant_articles": (
        _edit("poisoned.json", lambda cases: cases[0].pop("relevant_articles")),
        "case 0 of poisoned.json of change type 'term_up' has no 'relevant_articles'",
    ),
    "no cases": (
        _edit("original.json", lambda cases: cases.clear()),
        "original.json of change type 'term_up' is no list of cases",
    ),
    "article is no text": (
        _edit("articles_original.json", lambda articles: articles.update({"266": 7})),
        "term_up/articles_original.json is no object of article number -> text",
    ),
}


@pytest.mark.parametrize(("spoil", "what"), BROKEN.values(), ids=BROKEN)
def test_what_is_missing_is_named_with_its_folder(tmp_path, spoil, what):
    folder = make_lawshift(tmp_path / "law")
    spoil(folder)
    with pytest.raises(DataError, match=what):
        _suite(folder)


def test_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere is no folder"):
        _suite(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("type,name,label\n", "no change type, or one stands twice"),
        ("type,name,label\nT1,a,V\nT2,a,NV\n", "no change type, or one stands twice"),
        ("type,name,label\nT1,a,Q\n", "line 2 is no change type"),
        ("type,name\nT1,a\n", "line 2 is no change type"),
    ],
)
def test_labels_file_that_cannot_be_used_is_refused(tmp_path, text, what):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=what):
        read_change_types(tmp_path / "labels.csv")


def test_prompt_without_a_placeholder_is_refused(tmp_path):
    (tmp_path / "p.txt").write_text("{fact} {old_articles}")
    with pytest.raises(DataError, match=r"poisoned split lacks \{new_articles\}"):
        read_prompt(tmp_path / "p.txt", split="poisoned")
    with pytest.raises(DataError, match="does not exist"):
        read_prompt(tmp_path / "q.txt", split="poisoned")


def _answers(suite, texts, *, num_samples=1):
    return [
        Answer(
            id=item.id,
            sample=sample,
            group=item.group,
            prompt=prompt_of(item),
            completion=texts(item, sample),
            finish_reason="stop",
            num_tokens=3,
        )
        for item in suite
        for sample in range(num_samples)
    ]


def _right(item, sample=0):
    return RIGHT[item.reference["split"], item.reference["label"]]


def test_a_model_that_follows_every_change_is_right_everywhere(lawshift):
    suite = _suite(lawshift)
    table = lawshift_table(grade_answers(_answers(suite, _right), suite, LAWSHIFT), TYPES, seed=1)
    assert list(table["folder"]) == [each.name for each in TYPES] + ["overall"]
    assert set(table["original"]) == set(table["poisoned"]) == {1.0}
    assert set(table["change"]) == {0.0}
    assert list(table["n_original"]) == [2] * 31 + [62]


def test_a_model_that_always_says_40_months_shows_what_it_does_not_follow(lawshift):
    suite = _suite(lawshift)
    answers = _answers(suite, lambda item, sample: "V | 40")
    table = lawshift_table(grade_answers(answers, suite, LAWSHIFT), TYPES, seed=1)
    # Original: all but NX. Poisoned: V (13) and NX.
    whole = table.iloc[-1]
    assert whole["original"] == pytest.approx(30 / 31)
    assert whole["poisoned"] == pytest.approx(14 / 31)
    assert whole["change"] == pytest.approx(-16 / 31)
    rows = table.set_index("label")
    assert set(rows.loc["NV", "change"]) == {-1.0}
    assert rows.loc["NX", "change"] == 1.0
    expected = difference(share(60, 62), share(28, 62))
    assert (whole["change_low"], whole["change_high"]) == (expected.low, expected.high)


def test_several_answers_to_a_case_are_averaged(lawshift):
    suite = _suite(lawshift)
    answers = _answers(suite, lambda item, n: _right(item) if n else "?", num_samples=4)
    table = lawshift_table(grade_answers(answers, suite, LAWSHIFT), TYPES, seed=1)
    assert set(table["original"]) == set(table["poisoned"]) == {0.75}
    assert list(table["n_original"]) == [2] * 31 + [62]


def test_table_reads_well_as_markdown(lawshift):
    suite = _suite(lawshift)
    answers = _answers(suite, lambda item, sample: "V | 40")
    table = lawshift_table(grade_answers(answers, suite, LAWSHIFT), TYPES, seed=1)
    page = lawshift_markdown(table, subject="m", has_several_answers=False)
    lines = page.splitlines()
    assert lines[0] == "# LawShift: m"
    assert "(Wilson)" in page
    assert (
        "| term_extremity_out | NX | 2 | 0.00 [0.00, 65.76] | 2 | 100.00 [34.24, 100.00]"
        " | +100.00 [+7.00, +100.00] |"
    ) in lines
    assert lines[-1].startswith("| **overall** |  | 62 | 96.77 [")
    assert len(lines) == 8 + 31 + 1


def test_answers_to_something_else_make_no_table():
    with pytest.raises(DataError, match="groups stand in the answers or in the labels only"):
        lawshift_table(make_graded([True], group="x"), TYPES, seed=1)

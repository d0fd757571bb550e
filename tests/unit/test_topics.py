"""Topics files."""

import json

import pytest
from support import ROOT

from sluice.config import load_config
from sluice.config_checks import check_local_sources
from sluice.data.demo.topics import make_demo_topics
from sluice.errors import ConfigError, DataError
from sluice.flywheel.offline_law import read_law
from sluice.records import Message, Sample, write_samples
from sluice.settings.flywheel import MakeDemoTopics
from sluice.topics import choose_topics, read_topics, shared_topics

MT_BENCH = ROOT.parent / "shared" / "data" / "dialogue" / "mt_bench_questions.jsonl"


def _write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_topic_has_what_its_line_says(tmp_path):
    row = {
        "id": 7,
        "topic": "law",
        "language": "zh",
        "turns": ["a?", "b?"],
        "reference": [None, "B"],
    }
    (topic,) = read_topics([_write(tmp_path / "t.jsonl", row)])
    assert (topic.id, topic.topic, topic.language, topic.turns) == ("7", "law", "zh", ("a?", "b?"))
    assert topic.reference_for("Please check: b?") == "B"
    assert topic.reference_for("a?") is None
    assert topic.reference_for("something else") is None


def test_a_bare_topic_is_enough(tmp_path):
    (topic,) = read_topics([_write(tmp_path / "t.jsonl", {"id": "x", "topic": "weather"})])
    assert (topic.turns, topic.references) == ((), ())


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"topic": "no id"}, "none of id, question_id"),
        ({"id": "x"}, "none of topic, category"),
        ({"id": "x", "topic": "t", "turns": [""]}, "'turns' holds"),
        ({"id": "x", "topic": "t", "turns": [3]}, "'turns' holds int"),
        ({"id": "x", "topic": "t", "turns": {"a": 1}}, "'turns' is dict, not a list"),
        ({"id": "x", "topic": "t", "category": ["c"]}, "'category' is list, not a text"),
        ({"id": "x", "topic": "t", "language": 5}, "'language' is int, not a text"),
        ({"id": "x", "topic": "\ud800"}, "surrogates not allowed"),
        (["x"], "not an object"),
    ],
)
def test_a_line_that_is_no_topic_is_an_error_that_names_it(tmp_path, row, what):
    good = {"id": "a", "topic": "t"}
    with pytest.raises(DataError, match=what) as caught:
        read_topics([_write(tmp_path / "t.jsonl", good, row)])
    assert caught.value.where.endswith("t.jsonl, line 2")


def test_an_id_that_occurs_twice_is_an_error(tmp_path):
    row = {"id": "x", "topic": "t"}
    first, second = _write(tmp_path / "1.jsonl", row), _write(tmp_path / "2.jsonl", row)
    with pytest.raises(DataError, match="'x' occurs twice"):
        read_topics([first, second])
    with pytest.raises(DataError, match="no topics"):
        read_topics([_write(tmp_path / "3.jsonl")])


def test_draw_depends_on_part_and_seed_and_keeps_the_order(tmp_path):
    rows = [{"id": n, "topic": "t"} for n in range(100)]
    topics = read_topics([_write(tmp_path / "t.jsonl", *rows)])
    drawn = choose_topics(topics, number=30, seed=1, part="train_1")
    assert len(drawn) == 30
    assert [int(each.id) for each in drawn] == sorted(int(each.id) for each in drawn)
    backwards = choose_topics(topics[::-1], number=30, seed=1, part="train_1")
    assert drawn == backwards[::-1]
    assert drawn != choose_topics(topics, number=30, seed=1, part="train_2")
    assert drawn != choose_topics(topics, number=30, seed=2, part="train_1")
    assert choose_topics(topics, number=None, seed=1, part="x") == topics


def test_a_held_out_topic_is_shared_by_its_id_or_by_what_is_asked_first(tmp_path):
    train = [
        {"id": "a", "topic": "tea"},
        {"id": "b", "topic": "law", "turns": ["Who pays?", "And why?"]},
        {"id": "c", "topic": "law", "turns": ["Who judges?"]},
    ]
    held_out = [
        {"id": "a", "topic": "coffee"},
        {"id": "x", "topic": " TEA"},
        {"id": "y", "topic": "money", "turns": ["who  pays?"]},
        {"id": "z", "topic": "law", "turns": ["Who appeals?", "And why?"]},
    ]
    paths = [_write(tmp_path / "1.jsonl", *train), _write(tmp_path / "2.jsonl", *held_out)]
    first, second = (read_topics([path]) for path in paths)
    assert shared_topics(first, second) == ["a", "x", "y"]
    assert shared_topics(first, []) == shared_topics([], second) == []


def test_topics_that_are_learnt_and_held_out_are_named_before_anything_runs(tmp_path):
    rows = [{"id": f"t{number}", "topic": f"tea {number}"} for number in range(6)]
    train = _write(tmp_path / "train.jsonl", *rows)
    held_out = _write(tmp_path / "held_out.jsonl", *rows[1:], {"id": "new", "topic": "cake"})
    topics = {"train_topics": [str(train)], "heldout_topics": [str(held_out)]}
    values = {"datasets": {"d": {"hub": "d"}}, "models": {"base": {"build": "base"}}}
    config = load_config({**values, "flywheel": topics})
    with pytest.raises(ConfigError, match=r"5 topics of .*\(t1, t2, t3 and 2 more\)"):
        check_local_sources(config)
    _write(held_out, {"id": "new", "topic": "cake"})
    check_local_sources(config)
    held_out.unlink()
    check_local_sources(config)


@pytest.mark.skipif(not MT_BENCH.exists(), reason="needs MT-Bench's questions beside the project")
def test_mt_bench_questions_are_topics_as_they_are():
    topics = read_topics([MT_BENCH])
    assert len(topics) == 80
    assert {len(each.turns) for each in topics} == {2}
    assert topics[0].id == "81"
    assert topics[0].category == "writing"
    assert topics[0].references[0] is None
    assert any(each.references[0] for each in topics)


def test_demo_topics_are_new_solvable_and_of_one_language(tmp_path):
    taken = [Sample(messages=(Message(role="user", content="x"),), dataset="d", id="d_0")]
    write_samples(tmp_path / "taken.jsonl", taken)
    settings = MakeDemoTopics(num_demo_train_topics=40, num_demo_heldout_topics=20)
    law = read_law(ROOT / "resources/demo/cases.json")

    def make(name):
        make_demo_topics(
            ROOT / "resources/demo",
            taken=[tmp_path / "taken.jsonl"],
            folder=tmp_path / name,
            settings=settings,
        )
        return [
            read_topics([tmp_path / name / f"topics_{part}.jsonl"]) for part in ("train", "heldout")
        ]

    train, heldout = make("first")
    assert (len(train), len(heldout)) == (40, 20)
    assert make("second") == [train, heldout]
    asked = [turn for each in (*train, *heldout) for turn in each.turns]
    assert len(asked) == len(set(asked)) == 120
    for topic in (*train, *heldout):
        for turn, reference in zip(topic.turns, topic.references, strict=True):
            case = law.find_case(turn)
            assert (str(case.verdict), case.language) == (reference, topic.language)
    # A question that is taken is drawn by no topic.
    first = Sample(messages=(Message(role="user", content=asked[0]),), dataset="d", id="d_0")
    write_samples(tmp_path / "taken.jsonl", [first])
    train, heldout = make("third")
    assert asked[0] not in [turn for each in (*train, *heldout) for turn in each.turns]

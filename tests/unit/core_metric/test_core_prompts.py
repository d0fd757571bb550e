"""Prompt layouts, worked out by hand, and the choice of few-shot examples."""

import random
from pathlib import Path

import pytest
from core_bundles import write_bundle

from sluice.core_metric.bundle import Item, Task, read_items, read_tasks
from sluice.core_metric.evaluation import read_task
from sluice.core_metric.prompts import choose_shots, lay_out_prompts
from sluice.errors import DataError
from sluice.settings.core_metric import EvaluateCore


def task(type_, *, delimiter=" "):
    return Task("t", type_, Path("t.jsonl"), 2, delimiter, {"v2": 0.0})


def test_multiple_choice_shows_answered_examples_then_the_query_with_each_choice():
    shots = [
        Item(1, ("Q: 1+1?",), ("two", "three"), 0),
        Item(2, ("Q: 1+2?",), ("two", "three"), 1),
    ]
    item = Item(3, ("Q: 2+2?",), ("four", "five"), 0)
    found = lay_out_prompts(task("multiple_choice", delimiter="\nAnswer: "), item, shots)
    head = "Q: 1+1?\nAnswer: two\n\nQ: 1+2?\nAnswer: three\n\nQ: 2+2?\nAnswer: "
    assert found.full == (f"{head}four", f"{head}five")
    assert found.bare is None


def test_multiple_choice_keeps_the_spaces_of_the_data():
    item = Item(1, ("  ask ",), (" yes", "no "), 0)
    found = lay_out_prompts(task("multiple_choice"), item, [])
    assert found.full == ("  ask   yes", "  ask  no ")


def test_schema_shows_the_right_context_of_an_example_then_each_context():
    shot = Item(1, ("The cup fell; the cup", "The cup fell; the cat"), ("broke.",), 0)
    item = Item(2, ("Ann paid Bob so Ann", "Ann paid Bob so Bob"), ("was poorer.",), 0)
    found = lay_out_prompts(task("schema"), item, [shot])
    head = "The cup fell; the cup broke.\n\n"
    assert found.full == (
        f"{head}Ann paid Bob so Ann was poorer.",
        f"{head}Ann paid Bob so Bob was poorer.",
    )


def test_language_modelling_gives_the_prompt_with_and_without_its_continuation():
    shot = Item(1, ("The sky is",), ("blue",), 0)
    item = Item(2, ("Snow is",), ("white and cold",), 0)
    found = lay_out_prompts(task("language_modeling"), item, [shot])
    assert found.bare == "The sky is blue\n\nSnow is"
    assert found.full == ("The sky is blue\n\nSnow is white and cold",)


def test_bare_prompt_loses_the_space_that_ends_the_delimiter():
    item = Item(1, ("Capital of Peru",), ("Lima",), 0)
    found = lay_out_prompts(task("language_modeling", delimiter="\nAnswer: "), item, [])
    assert found.bare == "Capital of Peru\nAnswer:"
    assert found.full == ("Capital of Peru\nAnswer: Lima",)


@pytest.fixture
def items(tmp_path):
    return read_items(read_tasks(write_bundle(tmp_path / "bundle"))[0])


def test_shots_are_drawn_by_the_items_index_from_all_others(items):
    for index in (0, 5, 11):
        others = [item for item in items if item is not items[index]]
        expected = random.Random(1234 + index).sample(others, 3)
        assert choose_shots(items, index, num_shots=3) == expected
        assert items[index] not in expected


def test_zero_shots_are_none(items):
    assert choose_shots(items, 0, num_shots=0) == []


def read_shots(bundle, **settings):
    """The lines of the examples that the first four items of `capitals` are shown with."""
    read = read_task(read_tasks(bundle)[0], EvaluateCore(**settings))
    assert read.num_items >= 4
    return [[s.line for s in choose_shots(read.pool, index, num_shots=3)] for index in range(4)]


def test_max_per_task_does_not_change_an_items_examples(tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    assert read_shots(bundle, max_per_task=5) == read_shots(bundle)
    assert read_shots(bundle, max_per_task=100) == read_shots(bundle)


def test_nanochat_compatible_draws_from_the_shortened_data(tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    items = read_items(read_tasks(bundle)[0])
    first_lines = {item.line for item in items[:5]}
    found = read_shots(bundle, max_per_task=5, nanochat_compatible=True)
    assert found != read_shots(bundle)
    assert {line for shots in found for line in shots} <= first_lines
    assert read_shots(bundle, nanochat_compatible=True) == read_shots(bundle)


def test_nanochat_compatible_with_too_few_items_is_an_error(tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    settings = EvaluateCore(max_per_task=3, nanochat_compatible=True)
    with pytest.raises(DataError, match=r"raise core\.max_per_task"):
        read_task(read_tasks(bundle)[0], settings)

"""Reading a bundle: tasks, baselines, items, and what can be wrong with them."""

import json
import random

import pytest
from core_bundles import choice_items, write_bundle, write_items

from sluice.core_metric.bundle import bundle_files, present_tasks, read_items, read_tasks
from sluice.errors import ConfigError, DataError


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle")


def task_of(bundle, label):
    (task,) = [task for task in read_tasks(bundle) if task.label == label]
    return task


def test_tasks_come_in_order_with_shots_delimiters_and_baselines_as_shares(bundle):
    capitals, boxes, recall = read_tasks(bundle)
    assert (capitals.label, capitals.num_shots, capitals.delimiter) == ("capitals", 3, "\nAnswer: ")
    assert capitals.baselines == {"v1": 0.20, "v2": 0.25}
    assert (boxes.type, boxes.delimiter, boxes.baselines["v2"]) == ("schema", " ", 0.5)
    assert recall.type == "language_modeling"


def test_items_are_in_nanochats_order_and_know_their_lines(bundle):
    lines = list(range(1, 13))
    random.Random(1337).shuffle(lines)
    assert [item.line for item in read_items(task_of(bundle, "capitals"))] == lines


def test_context_of_language_modelling_is_trimmed(bundle):
    assert not any(item.contexts[0].endswith(" ") for item in read_items(task_of(bundle, "recall")))


def test_missing_data_is_named(tmp_path):
    tasks = read_tasks(write_bundle(tmp_path / "b", without=("boxes", "recall")))
    with pytest.raises(DataError, match=r"2 of 3 tasks is missing: boxes \(boxes.jsonl\), recall"):
        present_tasks(tasks, allow_missing=False)
    assert [task.label for task in present_tasks(tasks, allow_missing=True)] == ["capitals"]


def test_bundle_without_any_data_is_an_error_even_if_missing_is_allowed(tmp_path):
    tasks = read_tasks(write_bundle(tmp_path / "b", without=("capitals", "boxes", "recall")))
    with pytest.raises(DataError, match="3 of 3 tasks"):
        present_tasks(tasks, allow_missing=True)


def test_files_of_a_bundle_are_what_an_evaluation_reads(tmp_path):
    bundle = write_bundle(tmp_path / "b", without=("boxes",))
    (bundle / "notes.txt").write_text("not read")
    names = [path.rsplit("/", 1)[1] for path in bundle_files(str(bundle), allow_missing=True)]
    assert sorted(names) == [
        "capitals.jsonl",
        "core.yaml",
        "eval_meta_data.csv",
        "eval_meta_data_v1.csv",
        "recall.jsonl",
    ]


def test_no_bundle_is_an_error_with_a_hint():
    with pytest.raises(ConfigError, match=r"Hint: .*core: \{bundle"):
        bundle_files(None, allow_missing=False)


def test_folder_without_a_task_list_is_no_bundle(tmp_path):
    with pytest.raises(DataError, match=r"has no core\.yaml"):
        read_tasks(tmp_path)


@pytest.mark.parametrize(
    "text", ["icl_tasks: [", "tasks: []", "icl_tasks: [{label: a}]", "icl_tasks: 3"]
)
def test_task_list_that_cannot_be_read_is_an_error(bundle, text):
    (bundle / "core.yaml").write_text(text)
    with pytest.raises(DataError, match="task list cannot be read"):
        read_tasks(bundle)


def test_one_table_of_baselines_is_enough_and_none_is_an_error(bundle):
    (bundle / "eval_meta_data_v1.csv").unlink()
    assert set(read_tasks(bundle)[0].baselines) == {"v2"}
    (bundle / "eval_meta_data.csv").unlink()
    with pytest.raises(DataError, match="no random baselines"):
        read_tasks(bundle)


def test_task_without_a_baseline_is_an_error(bundle):
    path = bundle / "eval_meta_data.csv"
    path.write_text(path.read_text().replace("boxes", "crates"))
    with pytest.raises(DataError, match=r"'boxes' has no random baseline in eval_meta_data.csv"):
        read_tasks(bundle)


def test_table_without_the_column_is_an_error(bundle):
    (bundle / "eval_meta_data.csv").write_text("Task,Baseline\ncapitals,25\n")
    with pytest.raises(DataError, match="random baselines cannot be read"):
        read_tasks(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gold": 4}, "'gold' is 4 of 4 options"),
        ({"gold": None}, "gold: "),
        ({"choices": ["one"]}, "choices: "),
        ({"query": 3}, "query: "),
    ],
)
def test_broken_item_is_named_by_file_and_line(bundle, change, message):
    items = choice_items(12)
    items[6] |= change
    write_items(bundle, "capitals", items)
    with pytest.raises(DataError, match=rf"{message}(.|\n)*capitals.jsonl, line 7"):
        read_items(task_of(bundle, "capitals"))


def test_line_that_is_no_json_is_an_error(bundle):
    (bundle / "eval_data/some/boxes.jsonl").write_text("{broken\n")
    with pytest.raises(DataError, match=r"boxes.jsonl, line 1"):
        read_items(task_of(bundle, "boxes"))


def test_continuation_of_nothing_but_space_is_an_error(bundle):
    write_items(bundle, "recall", [{"context": "a", "continuation": " "}] * 5)
    with pytest.raises(DataError, match="continuation"):
        read_items(task_of(bundle, "recall"))


def test_too_few_items_for_the_shots_is_an_error(bundle):
    write_items(bundle, "capitals", choice_items(3))
    with pytest.raises(DataError, match=r"has 3 items, and shows 3 others(.|\n)*at least 4"):
        read_items(task_of(bundle, "capitals"))


def test_line_separators_inside_a_string_do_not_end_the_line(bundle):
    items = choice_items(12)
    items[2]["query"] = "one\u2028two\x85three"
    path = bundle / "eval_data/some/capitals.jsonl"
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))
    by_line = {item.line: item for item in read_items(task_of(bundle, "capitals"))}
    assert by_line[3].contexts == ("one\u2028two\x85three",)

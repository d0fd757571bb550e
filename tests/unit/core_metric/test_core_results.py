"""Accuracies, CORE and its interval, worked out by hand."""

from pathlib import Path

import pytest

from sluice.core_metric.bundle import Task
from sluice.core_metric.results import TaskResult, centre, core_estimate, results_table


def task(label, *, v1=0.2, v2=0.25):
    return Task(label, "multiple_choice", Path("x"), 10, " ", {"v1": v1, "v2": v2})


def result(of, correct, items, *, available=None):
    return TaskResult(of, correct, items, available or items, seconds=1.5)


def test_guessing_is_0_and_always_right_is_1():
    assert centre(0.25, 0.25) == 0
    assert centre(1.0, 0.25) == 1
    assert centre(0.4, 0.25) == pytest.approx(0.2)
    assert centre(0.0, 0.5) == -1


def test_core_is_the_mean_of_centred_accuracies():
    first, second = task("a"), task("b", v1=0.5, v2=0.5)
    results = [result(first, 40, 100), result(second, 30, 40)]
    # v2: (0.40 - 0.25) / 0.75 = 0.2 and (0.75 - 0.5) / 0.5 = 0.5; v1: 0.25 and 0.5.
    assert core_estimate(results, "v2", seed=1).value == pytest.approx(0.35)
    assert core_estimate(results, "v1", seed=1).value == pytest.approx(0.375)


def test_interval_of_one_task_is_that_of_its_accuracy_stretched():
    # sd of the accuracy: sqrt(0.4 x 0.6 / 400) = 0.0245; centred / 0.75; times 1.96: 0.0640.
    found = core_estimate([result(task("a"), 160, 400)], "v2", seed=1)
    assert found.low == pytest.approx(0.2 - 0.064, abs=0.005)
    assert found.high == pytest.approx(0.2 + 0.064, abs=0.005)


def test_interval_narrows_as_independent_tasks_join():
    one = core_estimate([result(task("a"), 160, 400)], "v2", seed=1)
    four = core_estimate([result(task(name), 160, 400) for name in "abcd"], "v2", seed=1)
    assert (four.high - four.low) == pytest.approx((one.high - one.low) / 2, rel=0.05)


def test_interval_depends_on_the_seed_and_not_on_the_order_of_tasks():
    results = [result(task("a"), 300, 1000), result(task("b"), 611, 907)]
    assert core_estimate(results, "v2", seed=1) == core_estimate(results[::-1], "v2", seed=1)
    assert core_estimate(results, "v2", seed=1) != core_estimate(results, "v2", seed=2)


def test_table_has_a_row_a_task_and_then_both_cores():
    tasks = [task("a"), task("b")]
    results = {"a": result(tasks[0], 40, 100), "b": result(tasks[1], 25, 100)}
    table = results_table(tasks, results, seed=1)
    assert list(table["task"]) == ["a", "b", "CORE_v1", "CORE_v2"]
    first = table.iloc[0]
    assert (first["n"], first["shots"], first["seconds"]) == (100, 10, 1.5)
    assert first["low"] < first["accuracy"] == 0.4 < first["high"]
    assert (first["random_baseline_v1"], first["random_baseline_v2"]) == (0.2, 0.25)
    assert first["centred_v1"] == pytest.approx(0.25)
    core = table.set_index("task").loc["CORE_v2"]
    assert core["centred_v2"] == pytest.approx(0.1)
    assert core["low"] < 0.1 < core["high"]
    assert (core["n"], core["status"]) == (200, "complete")


def test_missing_and_shortened_tasks_make_core_partial():
    tasks = [task("a"), task("b"), task("c")]
    results = {"a": result(tasks[0], 4, 10, available=50), "c": result(tasks[2], 5, 10)}
    table = results_table(tasks, results, seed=1).set_index("task")
    assert table["status"]["a"] == "first 10 of 50"
    assert table["status"]["b"] == "missing"
    assert table["status"]["c"] == "complete"
    assert table["status"]["CORE_v2"] == "partial: 2 of 3 tasks; 1 of them shortened"
    assert table.loc["b", ["n", "accuracy", "seconds"]].isna().all()


def test_table_of_one_baseline_version_has_one_core():
    only = Task("a", "schema", Path("x"), 0, " ", {"v2": 0.5})
    table = results_table([only], {"a": result(only, 5, 10)}, seed=1)
    assert list(table["task"]) == ["a", "CORE_v2"]
    assert "centred_v1" not in table

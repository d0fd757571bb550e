"""Scores of turns, their paired comparison, and what stops the wheel."""

import json

import numpy as np
import pytest
from turns_for_tests import dialogue, scored_turn, verdict, write_turn

from sluice.errors import DataError, FlywheelError
from sluice.files import read_json, write_json
from sluice.flywheel.summary import TrainingFiles, summarize_turn
from sluice.flywheel.turn_hashes import hash_artifact
from sluice.flywheel.turn_scores import compare, read_turn, shared_ids
from sluice.settings.flywheel_turn import KeepRule, SummarizeTurn


def _summarize(folder, *turns, training=None, **settings):
    simulations, evaluations = zip(*turns, strict=True)
    output = folder / "summary.json"
    summarize_turn(
        simulations, evaluations, training=training, output=output,
        settings=SummarizeTurn(**settings),
    )  # fmt: skip
    return read_json(output)


def test_a_score_is_a_mean_of_dialogues_not_of_exchanges(tmp_path):
    talks = [
        dialogue("long", ("a?", "1"), ("b?", "2"), ("c?", "3")),
        dialogue("short", ("d?", "4")),
    ]
    verdicts = [*(verdict("long", n, 5) for n in range(3)), verdict("short", 0, 1)]
    summary = _summarize(tmp_path, write_turn(tmp_path, talks, verdicts))
    assert summary["scores"]["mean"]["value"] == 3.0
    assert summary["scores"]["good_share"]["value"] == 0.5
    assert summary["scores"]["num_exchanges"] == 4
    assert summary["scores"]["num_dialogues"] == 2
    assert summary["against"] == []
    assert summary["training"] is None


def test_each_dimension_has_its_own_score(tmp_path):
    verdicts = [verdict("d0", 0, 5, 4, 3), verdict("d1", 0, 1, 4, 5)]
    talks = [dialogue(name, (f"{name}?", "yes")) for name in ("d0", "d1")]
    scores = _summarize(tmp_path, write_turn(tmp_path, talks, verdicts))["scores"]
    assert [scores[name]["value"] for name in ("accuracy", "helpfulness", "coherence")] == [3, 4, 4]


def test_unscored_verdicts_are_counted_and_never_a_score(tmp_path):
    talks = [dialogue(f"d{n}", (f"{n}?", "yes")) for n in range(3)]
    verdicts = [verdict("d0", 0, 4), verdict("d1", 0, 2), verdict("d2", 0, status="unparsable")]
    scores = _summarize(tmp_path, write_turn(tmp_path, talks, verdicts))["scores"]
    assert scores["mean"]["value"] == 3
    assert scores["verdicts"] == {"scored": 2, "unparsable": 1}
    assert scores["num_unscored_dialogues"] == 1


def test_difference_is_paired_with_wins_ties_and_losses(tmp_path):
    before = scored_turn(tmp_path / "0", [1, 2, 3, 4, 5, 1])
    after = scored_turn(tmp_path / "1", [5, 2, 4, 4, 4, 5])
    summary = _summarize(tmp_path, before, after)
    (row,) = summary["against"]
    found = row["differences"]["mean"]
    assert found["value"] == pytest.approx((4 + 0 + 1 + 0 - 1 + 4) / 6)
    assert (found["wins"], found["ties"], found["losses"]) == (3, 2, 1)
    assert found["p"] == pytest.approx(0.625)  # 3 or more of 4 heads, or 1 or less: 10 / 16
    groups = {each["group"]: each["value"] for each in row["groups"]}
    assert groups == {"nature, en": pytest.approx(5 / 3), "craft, en": 1.0}


def test_interval_of_the_difference_is_that_of_a_plain_paired_bootstrap(tmp_path):
    rng = np.random.default_rng(0)
    first, second = rng.integers(1, 6, 80), rng.integers(1, 6, 80)
    turns = [
        read_turn(n, *scored_turn(tmp_path / str(n), [int(s) for s in scores]), rule=KeepRule())
        for n, scores in enumerate((first, second))
    ]
    ids = shared_ids(turns[1], turns[0])
    found = compare(turns[1], turns[0], "mean", ids=ids, seed=1).value
    draws = rng.integers(0, 80, (20_000, 80))
    low, high = np.quantile((second - first)[draws].mean(axis=1), [0.025, 0.975])
    assert (found.low, found.high) == (pytest.approx(low, abs=0.03), pytest.approx(high, abs=0.03))


def test_a_third_turn_is_compared_with_the_second_and_the_first(tmp_path):
    turns = [scored_turn(tmp_path / str(n), [n + 1] * 4) for n in range(3)]
    summary = _summarize(tmp_path, *turns)
    assert [row["turn"] for row in summary["against"]] == [1, 0]
    assert [row["differences"]["mean"]["value"] for row in summary["against"]] == [1, 2]
    assert [row["turn"] for row in summary["trajectory"]] == [0, 1, 2]
    assert [row["mean"]["value"] for row in summary["trajectory"]] == [1, 2, 3]


def test_order_of_dialogues_changes_nothing(tmp_path):
    talks = [dialogue(f"d{n}", (f"{n}?", "yes")) for n in range(5)]
    verdicts = [verdict(f"d{n}", 0, n + 1) for n in range(5)]
    one = _summarize(tmp_path, write_turn(tmp_path, talks, verdicts))
    two = _summarize(tmp_path, write_turn(tmp_path, talks[::-1], verdicts[::-1]))
    assert one["scores"] == two["scores"]


def test_a_loss_beyond_the_limit_stops_the_wheel_and_keeps_the_summary(tmp_path):
    before, after = scored_turn(tmp_path / "0", [5] * 30), scored_turn(tmp_path / "1", [4] * 30)
    with pytest.raises(FlywheelError, match=r"turn 1 is worse .* -1\.000") as caught:
        _summarize(tmp_path, before, after)
    assert "flywheel.max_regression" in caught.value.expected
    assert not (tmp_path / "summary.json").exists()
    assert read_json(tmp_path / "stopped_summary.json")["is_stopped"] is True


def test_a_loss_within_the_limit_goes_on_and_clears_an_older_stop(tmp_path):
    before, after = scored_turn(tmp_path / "0", [5] * 30), scored_turn(tmp_path / "1", [4] * 30)
    with pytest.raises(FlywheelError):
        _summarize(tmp_path, before, after)
    summary = _summarize(tmp_path, before, after, max_regression=1.0)
    assert summary["is_stopped"] is False
    assert summary["against"][0]["differences"]["mean"]["finding"] == "loss"
    assert not (tmp_path / "stopped_summary.json").exists()


def test_a_loss_that_chance_explains_does_not_stop_the_wheel(tmp_path):
    before = scored_turn(tmp_path / "0", [5, 1, 5, 1, 5, 3])
    after = scored_turn(tmp_path / "1", [1, 5, 1, 5, 3, 3])
    summary = _summarize(tmp_path, before, after)
    found = summary["against"][0]["differences"]["mean"]
    assert found["value"] < -0.1
    assert found["finding"] == "no difference shown"


def test_turns_of_different_judges_are_not_compared(tmp_path):
    before = scored_turn(tmp_path / "0", [1, 2], judge="strict")
    after = scored_turn(tmp_path / "1", [1, 2], judge="mild")
    with pytest.raises(DataError, match="differ in their judge: strict and mild"):
        _summarize(tmp_path, before, after)


def test_dialogues_that_began_differently_are_not_compared(tmp_path):
    before = write_turn(tmp_path / "0", [dialogue("d0", ("One?", "1"))], [verdict("d0", 0, 3)])
    after = write_turn(tmp_path / "1", [dialogue("d0", ("Two?", "1"))], [verdict("d0", 0, 3)])
    with pytest.raises(DataError, match=r"1 begin differently \(d0\)"):
        _summarize(tmp_path, before, after)


def test_books_of_training_are_carried_along(tmp_path):
    folder = tmp_path / "turn_1"
    scored_turn(folder / "train", [5, 1])
    shift = {"feature": "topic", "distance": 0.5, "is_shifted": True}
    write_json(
        folder / "sft_train.ledger.json",
        {"step": "s", "dataset": "d", "rows_in": 2, "rows_kept": 1, "rejected": {"low_score": 1}},
    )
    write_json(folder / "sft_train.shift.json", {"features": [shift]})
    metrics = {
        "method": "lora", "num_samples": 1, "num_held_out": 0, "num_steps": 3, "best_step": None,
        "best_eval_loss": None, "last_tenth_loss": 0.5, "losses": [1.0, 0.5, 0.5],
    }  # fmt: skip
    write_json(folder / "adapter/metrics.json", metrics)
    turns = [scored_turn(tmp_path / str(n), [3, 4]) for n in range(2)]
    training = _summarize(tmp_path, *turns, training=TrainingFiles.of(folder))["training"]
    assert training["ledger"]["rejected"] == {"low_score": 1}
    assert training["fine_tuning"]["last_tenth_loss"] == 0.5
    assert "losses" not in training["fine_tuning"]
    assert training["shifts"] == [shift]


def test_hash_does_not_see_measured_times(tmp_path):
    simulation, _ = scored_turn(tmp_path / "0", [3])
    before = hash_artifact(simulation)
    content = json.loads(simulation.read_text())
    content["dialogues"][0]["exchanges"][0]["latency_s"] = 99.0
    write_json(simulation, content)
    assert hash_artifact(simulation) == before
    content["dialogues"][0]["exchanges"][0]["assistant"] = "other"
    write_json(simulation, content)
    assert hash_artifact(simulation) != before

"""The flywheel's first turn, really run: a tiny random model is served, judged and trained."""

import json
from collections import defaultdict
from statistics import mean

import pytest
import safetensors.numpy
from disturbing import survivors
from small_run import TURN_TARGETS, finish, prepare_turn
from support import snakemake

from sluice.ledger import read_ledger


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """A clone in which turn 1 was made, and what still worked there half a minute later."""
    folder = prepare_turn(tmp_path_factory.mktemp("turn") / "sluice")
    finish(folder, targets=TURN_TARGETS)
    return folder, survivors(folder)


@pytest.fixture(scope="module")
def read(turned):
    """Reads a JSON file of the flywheel's folder."""

    def read_file(name):
        return json.loads((turned[0] / "results/flywheel" / name).read_text())

    return read_file


def test_no_server_is_left_alive(turned):
    assert turned[1] == []


def test_each_part_is_answered_by_the_model_of_its_turn(read):
    first, second = "tiny", "results/flywheel/turn_1/merged"
    assert read("turn_0/bootstrap.json")["model"] == first
    assert read("turn_0/heldout/simulation_data.json")["model"] == first
    assert read("turn_1/train/simulation_data.json")["model"] == first
    assert read("turn_1/bootstrap.json")["model"] == second
    assert read("turn_1/heldout/simulation_data.json")["model"] == second


def test_both_turns_are_asked_the_same_and_learn_from_other_topics(read):
    parts = ("turn_0/heldout", "turn_1/heldout", "turn_1/train")
    held_out, again, train = (read(f"{part}/simulation_data.json")["dialogues"] for part in parts)
    assert [each["topic_id"] for each in held_out] == [each["topic_id"] for each in again]
    asked = [{each["exchanges"][0]["user"] for each in part} for part in (held_out, again, train)]
    assert asked[0] == asked[1]
    assert len(asked[0]) == 6
    assert not asked[0] & asked[2]
    assert len(asked[2]) == 12


def test_every_exchange_is_judged_by_who_may(read):
    for part, judge in (("turn_1/train", "offline-judge"), ("turn_1/heldout", "offline-evaluator")):
        dialogues = read(f"{part}/simulation_data.json")["dialogues"]
        exchanges = [(each["id"], n) for each in dialogues for n in range(len(each["exchanges"]))]
        evaluation = read(f"{part}/evaluation_results.json")
        verdicts = [(each["dialogue_id"], each["exchange"]) for each in evaluation["verdicts"]]
        assert sorted(verdicts) == sorted(exchanges)
        assert evaluation["judge_model"] == judge
        assert all(each["status"] == "scored" for each in evaluation["verdicts"])


def test_no_row_is_lost_on_the_way_to_the_adapter(turned, read):
    folder = turned[0] / "results/flywheel/turn_1"
    kept, learnt = (
        read_ledger(folder / name)
        for name in ("sft_train.ledger.json", "adapter/samples.ledger.json")
    )
    dialogues = read("turn_1/train/simulation_data.json")["dialogues"]
    assert kept["rows_in"] == sum(len(each["exchanges"]) for each in dialogues)
    for books in (kept, learnt):
        assert books["rows_in"] == books["rows_kept"] + sum(books["rejected"].values())
    rows = (folder / "sft_train.jsonl").read_text().splitlines()
    assert kept["rows_kept"] == learnt["rows_in"] == len(rows) > 0


def test_the_turn_ends_with_another_model_of_the_same_shape(turned, read):
    assert read("turn_1/adapter/metrics.json")["num_steps"] == 6
    before, after = (
        safetensors.numpy.load_file(turned[0] / name / "model.safetensors")
        for name in ("tiny", "results/flywheel/turn_1/merged")
    )
    assert {name: each.shape for name, each in after.items()} == {
        name: each.shape for name, each in before.items()
    }
    assert any((before[name] != after[name]).any() for name in before)


def mean_scores(verdicts):
    """Each dialogue's mean over its exchanges and dimensions."""
    by_dialogue = defaultdict(list)
    for each in verdicts:
        by_dialogue[each["dialogue_id"]].append(mean(each["scores"].values()))
    return [mean(scores) for scores in by_dialogue.values()]


def test_the_summary_compares_the_turn_with_the_one_before(read):
    summary = read("turn_1/summary.json")
    scores = [
        mean_scores(read(f"turn_{turn}/heldout/evaluation_results.json")["verdicts"])
        for turn in (0, 1)
    ]
    assert summary["turn"] == 1
    assert summary["is_stopped"] is False
    assert summary["scores"]["num_dialogues"] == 6
    assert summary["scores"]["mean"]["value"] == pytest.approx(mean(scores[1]))
    (against,) = summary["against"]
    assert against["turn"] == 0
    expected = mean(scores[1]) - mean(scores[0])
    assert against["differences"]["mean"]["value"] == pytest.approx(expected)
    assert summary["training"]["ledger"]["rows_kept"] > 0


def test_a_second_run_has_nothing_to_do(turned):
    text = snakemake(turned[0], "--cores", "2", "--configfile", "small.yaml", "--", *TURN_TARGETS)
    assert "Nothing to be done" in text.stdout

"""Turns of the flywheel follow each other; one that lost too much stops the wheel."""

import json
import re
from collections import Counter

import pytest
import yaml
from support import ROOT, clone, snakemake
from tiny_models import write_tiny_checkpoint


def _planned(folder, *words):
    return _job_counts(snakemake(folder, "-n", *words).stdout)


def _job_counts(text):
    return Counter(re.findall(r"^(?:local)?rule (\w+):$", text, re.MULTILINE))


def test_third_turn_builds_turns_one_to_three(fresh):
    rules = _planned(fresh, "results/flywheel/turn_3/summary.json")
    assert rules["fine_tune_turn"] == rules["merge_turn"] == rules["prepare_sft_data"] == 3
    assert rules["simulate_dialogues"] == rules["judge_responses"] == 4 + 3
    assert rules["bootstrap_model"] == 4
    assert rules["train_base_model"] == 1
    # Turns 1 and 2 have to show that they lost nothing; turn 3 is the target.
    assert rules["summarize_turn"] == 3


def test_first_turn_needs_no_other(fresh):
    rules = _planned(fresh, "results/flywheel/turn_0/summary.json")
    assert rules["summarize_turn"] == 1
    assert "fine_tune_turn" not in rules


def test_turn_zero_is_never_trained(fresh):
    text = snakemake(fresh, "-n", "results/flywheel/turn_0/sft_train.jsonl", is_ok=False).stdout
    assert "MissingRuleException" in text


def test_configuration_for_vllm_plans_turns_on_top_of_each_other(fresh, tmp_path):
    names = {}
    for part in ("train", "heldout"):
        topics = tmp_path / f"{part}.jsonl"
        topics.write_text(json.dumps({"id": part, "topic": f"tea, {part}"}) + "\n")
        names[f"{part}_topics"] = [str(topics)]
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({"flywheel": names}))
    text = snakemake(
        fresh, "-n", "-p", "--configfile", str(ROOT / "configs/flywheel_vllm.yaml"), str(mine),
        "--", "results/flywheel/turn_2/summary.json",
    ).stdout  # fmt: skip
    trained = re.findall(r"fine_tune\.py .*", text)
    assert len(trained) == 2
    assert any("--model Qwen/Qwen2.5-3B-Instruct --revision main" in each for each in trained)
    assert any("--model results/flywheel/turn_1/merged" in each for each in trained)
    for each in trained:
        assert "--method qlora" in each
        assert "--learn-from last" in each
        assert "--max-steps" not in each, "the built-in model's steps are inherited"
    assert "--server vllm" in text
    counts = _job_counts(text)
    assert counts["bootstrap_model_with_vllm"] == 3, "in vLLM's environment"
    assert counts["simulate_dialogues_with_vllm"] == 5
    assert not counts.keys() & {"bootstrap_model", "simulate_dialogues"}


DIMENSIONS = ("accuracy", "helpfulness", "coherence")


def _write_turn(folder, score):
    """Held-out dialogues that all have one score, and what a training leaves behind."""
    names = [f"h{number}" for number in range(30)]
    dialogues = [
        {"id": name, "topic": "tea", "topic_id": name, "category": None, "status": "complete",
         "exchanges": [{"user": f"Why {name}?", "assistant": "So."}]}
        for name in names
    ]  # fmt: skip
    verdicts = [
        {"dialogue_id": name, "exchange": 0, "status": "scored", "mean": score,
         "scores": dict.fromkeys(DIMENSIONS, score)}
        for name in names
    ]  # fmt: skip
    simulation = {"format_version": 1, "model": "m", "dialogues": dialogues}
    evaluation = {"judge_model": "e", "dimensions": DIMENSIONS, "scale": [1, 5],
                  "verdicts": verdicts}  # fmt: skip
    metrics = {"method": "lora", "num_samples": 1, "num_held_out": 0, "num_steps": 1,
               "best_step": None, "best_eval_loss": None, "last_tenth_loss": 1.0}  # fmt: skip
    contents = {
        "heldout/simulation_data.json": simulation,
        "heldout/evaluation_results.json": evaluation,
        "train/simulation_data.json": simulation,
        "train/evaluation_results.json": evaluation,
        "sft_train.ledger.json": {
            **{"step": "prepare_sft_data", "dataset": "turn_1", "rejected": {}},
            **{"rows_in": 1, "rows_kept": 1},
        },
        "sft_train.shift.json": {"features": []},
        "adapter/metrics.json": metrics,
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))


@pytest.fixture
def two_turns(tmp_path):
    """A clone in which two turns have been judged; the second is worse by a whole point."""
    folder = clone(tmp_path / "sluice")
    for turn, score in ((0, 4), (1, 3)):
        _write_turn(folder / f"results/flywheel/turn_{turn}", score)
    return folder


def _summarize(folder, *words, **options):
    target = "results/flywheel/turn_1/summary.json"
    return snakemake(
        folder, "--cores", "1", "--allowed-rules", "summarize_turn", *words, "--", target, **options
    ).stdout


def test_a_turn_that_lost_too_much_stops_the_wheel_and_keeps_its_summary(two_turns):
    text = _summarize(two_turns, is_ok=False)
    assert "FlywheelError: turn 1 is worse than the turn before" in text
    assert "flywheel.max_regression" in text
    assert "Traceback" not in text
    folder = two_turns / "results/flywheel/turn_1"
    assert not (folder / "summary.json").exists()
    stopped = json.loads((folder / "stopped_summary.json").read_text())
    assert stopped["against"][0]["differences"]["mean"]["value"] == -1


def test_it_goes_on_where_the_configuration_allows_the_loss(two_turns):
    _summarize(two_turns, "--config", "flywheel={max_regression: 1.5}")
    folder = two_turns / "results/flywheel/turn_1"
    assert json.loads((folder / "summary.json").read_text())["is_stopped"] is False
    assert not (folder / "stopped_summary.json").exists()


def test_dialogues_about_mt_bench_ask_its_questions_in_their_order(shared_data, tmp_path):
    source = shared_data / "dialogue" / "mt_bench_questions.jsonl"
    folder = clone(tmp_path / "sluice")
    write_tiny_checkpoint(folder / "tiny")
    wheel = {"model": "tiny", "train_topics": [str(source)], "num_train_topics": 80}
    config = {"models": {"tiny": {"path": "tiny"}}, "flywheel": {**wheel, "max_new_tokens": 4}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    target = "results/flywheel/turn_1/train/simulation_data.json"
    snakemake(folder, "--cores", "2", "--configfile", "mine.yaml", "--allowed-rules",
              "bootstrap_model", "simulate_dialogues", "--", target)  # fmt: skip
    dialogues = json.loads((folder / target).read_text())["dialogues"]
    asked = {each["topic_id"]: [e["user"] for e in each["exchanges"]] for each in dialogues}
    rows = map(json.loads, source.read_text().splitlines())
    expected = {str(row["question_id"]): row["turns"] for row in rows}
    assert len(expected) == 80
    assert {name: said[:2] for name, said in asked.items()} == expected

"""A small run's artifacts, written by hand; what a model wrote in them is hostile."""

import json

from sluice.files import write_json, write_text
from sluice.settings.report import Artifacts

HOSTILE = (
    '<script>fetch("http://evil.test/")</script><img src=http://evil.test/x onerror=alert(1)>'
    "</textarea></style>{{ 7 * 7 }} " + "x" * 400 + " \u202egnp.txt \ud800"
)
CONFIGURATION = {
    "seed": 7,
    "datasets": {"cats": {"path": "cats.jsonl"}},
    "adapters": {"tuned": {"model": "base", "samples": ["results/sampled/quiz/accepted.jsonl"]}},
    "suites": {"quiz": {"grader": "exact"}},
}


def write_lines(path, rows):
    """JSON Lines; ASCII, since a lone surrogate is no UTF-8."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return path


def entry(step, rows_in, rows_kept, dataset="cats", **rejected):
    """The content of a ledger."""
    books = {"step": step, "dataset": dataset, "rows_in": rows_in, "rows_kept": rows_kept}
    return {**books, "rejected": rejected}


def books():
    """Ledgers of a sound run by their file's stem."""
    return {
        "data/samples": entry("convert_dataset", 12, 10, bad_json=2),
        "data/clean": entry("drop_overlap", 10, 9, near_duplicate=1),
        "data/split": entry("split_dataset", 9, 9),
        "router/shard0": entry("collect_router_data", 3, 3),
        "router/shard1": entry("collect_router_data", 4, 4),
        "selected/cats": entry("select_samples", 7, 2, below_cut=5),
        "selected_data": entry("merge_selected", 2, 2, dataset="all"),
        "sampled/quiz": entry("sample_responses", 40, 8, dataset="quiz", wrong=32),
        "adapters/tuned": entry("fine_tune", 8, 8, dataset="tuned"),
    }


def write_run(folder):
    """Every kind of artifact once; returns their paths as the scripts take them."""
    ledgers = []
    for name, content in books().items():
        ledgers.append(folder / f"{name}.ledger.json")
        write_json(ledgers[-1], content)
    rejected = {"reason": "bad_json", "where": "3", "detail": "a <b>", "row": HOSTILE}
    write_lines(folder / "data/samples.rejected.jsonl", [rejected] * 2)
    split = folder / "cats/split.json"
    write_json(split, {"train": 7, "test": 2})
    return Artifacts(
        configuration=json.dumps(CONFIGURATION),
        ledgers=tuple(ledgers),
        splits=(split,),
        selected=(write_selected(folder),),
        trainings=(write_training(folder / "adapters/tuned"),),
        samplings=(write_sampling(folder / "sampled/quiz"),),
        evaluations=tuple(write_evaluation(folder, *each) for each in (("base", 1), ("tuned", 3))),
        comparisons=(write_comparison(folder),),
        turns=tuple(write_turn(folder / f"turn_{turn}", turn) for turn in (0, 1)),
        calibrations=(write_calibration(folder / "turn_1"),),
        sources=(split,),
    )


def write_selected(folder):
    rows = [
        {
            "messages": [
                {"role": "user", "content": HOSTILE.replace("\ud800", "")},
                {"role": "assistant", "content": "猫"},
            ],
            "dataset": "cats",
            "id": f"cats_{rank}",
            "scores": {"quality": 1.5},
            "rank": rank,
        }
        for rank in (1, 2)
    ]
    return write_lines(folder / "selected_data.jsonl", rows)


def write_training(folder):
    content = {
        "num_samples": 8,
        "num_steps": 4,
        "num_target_tokens": 1234,
        "best_step": 4,
        "best_eval_loss": 0.75,
        "losses": [2.0, 1.5, 1.0, 0.5],
        "learning_rates": [0.1, 0.1, 0.1, 0.1],
        "eval_steps": [2, 4],
        "eval_losses": [1.0, 0.75],
    }
    write_json(folder / "metrics.json", content)
    return folder / "metrics.json"


def write_sampling(folder):
    content = {
        "generated": 40,
        "accepted": 8,
        "tokens": 900,
        "pass_at_k": {"1": 0.2, "2": 0.35},
        "settings": {"temperature": 1.0, "api_key_env": "OPENAI_API_KEY"},
    }
    write_json(folder / "sampling_stats.json", content)
    return folder / "sampling_stats.json"


def write_evaluation(folder, subject, num_right):
    """Four items, the first `num_right` of them right."""
    answers = [
        {
            "id": f"item_{number}",
            "sample": 0,
            "group": "g",
            "prompt": [{"role": "user", "content": HOSTILE}],
            "completion": f"{subject} says {HOSTILE}",
            "answer": "a",
            "verdict": "correct" if number < num_right else "wrong",
        }
        for number in range(4)
    ]
    place = folder / "evaluation" / subject
    write_lines(place / "quiz.jsonl", answers)
    share = num_right / 4
    row = {"n": 4, "answers": 4, "correct": num_right, "accuracy": share, "low": 0.1, "high": 0.9}
    content = {
        "subject": subject,
        "suite": "quiz",
        "overall": row,
        "groups": [{"group": "g", **row}],
        "verdicts": {"correct": num_right, "wrong": 4 - num_right},
        "commonest_answer": {"answer": HOSTILE, "share": 0.5},
        "mean_tokens": 2.5,
    }
    write_json(
        place / "quiz.evaluation_results.json",
        json.loads(json.dumps(content).replace("\\ud800", "")),
    )
    return place / "quiz.evaluation_results.json"


def write_comparison(folder):
    row = {
        "suite": "quiz",
        "group": "overall",
        "n": 4,
        "difference": 0.5,
        "difference_low": 0.25,
        "difference_high": 0.75,
        "only_a": 0,
        "only_b": 2,
        "p_holm": 0.5,
        "finding": "no difference shown",
    }
    content = {"a": "base", "b": "tuned", "test": "McNemar", "interval": "95 %", "rows": [row]}
    write_json(folder / "comparison/comparison.json", content)
    return folder / "comparison/comparison.json"


def write_turn(folder, turn):
    """A turn's summary and its held-out dialogues: in turn 1 one is better and one worse."""
    scores = {name: _estimate(3 + turn) for name in ("mean", "accuracy")}
    scores = {"num_dialogues": 2, **scores, "good_share": _estimate(0.5)}
    difference = {"num_dialogues": 2, **_estimate(1.0), "wins": 1, "ties": 0, "losses": 1}
    against = {
        "turn": 0,
        "num_dialogues": 2,
        "differences": {"mean": {**difference, "p": 0.5, "finding": "gain"}},
    }
    training = {
        "ledger": {"rows_in": 10, "rows_kept": 4, "rejected": {"low_score": 6}},
        "shifts": [{"feature": "topic", "distance": 0.3, "is_shifted": True}],
    }
    content = {
        "turn": turn,
        "model": "small",
        "evaluator": "careful",
        "dimensions": ["accuracy"],
        "scale": [1, 5],
        "settings": {"min_score": 4.0},
        "interval": "95 %",
        "scores": scores,
        "against": [against] if turn else [],
        "trajectory": [{"turn": each, **scores} for each in range(turn + 1)],
        "training": training if turn else None,
        "spending": {"judge_held_out": {"prompt_tokens": 1000, "cost": 0.25}},
    }
    write_json(folder / "summary.json", content)
    exchange = {"user": HOSTILE, "assistant": f"turn {turn}", "reference": None}
    dialogues = [
        {"id": each, "topic": each, "topic_id": each, "status": "complete", "exchanges": [exchange]}
        for each in ("up", "down")
    ]
    values = {"up": 2.0 + 2 * turn, "down": 4.0 - turn}
    verdicts = [
        {
            "dialogue_id": name,
            "exchange": 0,
            "status": "scored",
            "scores": {"accuracy": value},
            "mean": value,
        }
        for name, value in values.items()
    ]
    simulation = {"format_version": 1, "model": "small", "dialogues": dialogues}
    clean = json.loads(json.dumps(simulation).replace("\\ud800", ""))
    write_json(folder / "heldout/simulation_data.json", clean)
    judged = {"judge_model": "careful", "dimensions": ["accuracy"], "scale": [1, 5]}
    write_json(folder / "heldout/evaluation_results.json", {**judged, "verdicts": verdicts})
    return folder / "summary.json"


def write_calibration(folder):
    rows = [
        {"judge": "judge", "measure": "flip_rate", **_estimate(0.25), "n": 8, "status": "ok"},
        {"judge": "both", "measure": "judge_agreement", "value": None, "low": None, "high": None,
         "n": 0, "status": "nothing to measure it on"},
    ]  # fmt: skip
    judges = {"judge": {"model": "strict", "families_shared_with_the_model": []}}
    write_json(folder / "judge_calibration.json", {"judges": judges, "measures": rows})
    return folder / "judge_calibration.json"


def _estimate(value):
    return {"value": value, "low": value - 0.25, "high": value + 0.25}

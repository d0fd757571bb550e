"""Small dialogues and verdicts in the files' forms, written by hand."""

from sluice.files import write_json

DIMENSIONS = ("accuracy", "helpfulness", "coherence")
TOPICS = ("cats", "tides", "bread", "maps", "snow", "rivers", "glass", "wool", "salt", "moons")


def dialogue(name, *pairs, topic="cats", category="nature", language="en", **more):
    """A dialogue of (user, assistant) pairs."""
    exchanges = [{"user": user, "assistant": text, "reference": None} for user, text in pairs]
    return {
        "id": name,
        "topic": topic,
        "topic_id": name,
        "category": category,
        "language": language,
        "status": "complete",
        "exchanges": [{**each, **more, "latency_s": 0.25} for each in exchanges],
    }


def verdict(name, exchange, *scores, status="scored"):
    """A verdict with one score for all dimensions, or one for each."""
    row = {"dialogue_id": name, "exchange": exchange, "status": status, "reason": None}
    if status != "scored":
        return {**row, "scores": None, "mean": None}
    each = scores if len(scores) == len(DIMENSIONS) else scores * len(DIMENSIONS)
    return {
        **row,
        "scores": dict(zip(DIMENSIONS, each, strict=True)),
        "mean": sum(each) / len(each),
    }


def write_turn(folder, dialogues, verdicts, *, system_prompt=None, judge="careful"):
    """simulation_data.json and evaluation_results.json in a folder; returns their paths."""
    simulation = {
        "format_version": 1,
        "model": "small",
        "user_model": "asker",
        "system_prompt": system_prompt,
        "settings": {},
        "dialogues": dialogues,
        "counts": {"complete": len(dialogues)},
        "spending": {"num_requests": 7},
    }
    evaluation = {
        "format_version": 1,
        "judge_model": judge,
        "prompt": {"file": "judge.txt", "sha256": "0"},
        "dimensions": list(DIMENSIONS),
        "scale": [1, 5],
        "verdicts": verdicts,
        "counts": {"scored": len(verdicts)},
        "spending": {"num_requests": 9},
    }
    write_json(folder / "simulation_data.json", simulation)
    write_json(folder / "evaluation_results.json", evaluation)
    return folder / "simulation_data.json", folder / "evaluation_results.json"


def scored_turn(folder, scores, **options):
    """One dialogue of one exchange for each score; the first half is about nature."""
    names = [f"d{number:03d}" for number in range(len(scores))]
    dialogues = [
        dialogue(
            name,
            (f"Question {name}?", f"Answer {name}."),
            category="nature" if number < len(scores) / 2 else "craft",
        )
        for number, name in enumerate(names)
    ]
    verdicts = [verdict(name, 0, score) for name, score in zip(names, scores, strict=True)]
    return write_turn(folder, dialogues, verdicts, **options)

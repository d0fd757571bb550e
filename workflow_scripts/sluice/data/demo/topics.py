"""Topics of the built-in flywheel: court cases to talk about, with their right verdicts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sluice.data.demo.building import PromptBook, make_samples
from sluice.data.demo.writing import load_worlds
from sluice.files import write_text
from sluice.logs import get_logger
from sluice.records import Sample, read_samples
from sluice.settings.flywheel import MakeDemoTopics

logger = get_logger(__name__)

_TOPIC = {"en": "a court case", "zh": "一个案件"}


def make_demo_topics(
    resources: Path, *, taken: Sequence[Path], folder: Path, settings: MakeDemoTopics
) -> None:
    """Writes topics_train.jsonl and topics_heldout.jsonl.

    Each topic has ``settings.questions_per_topic`` cases in one language, none of which stands in
    another topic, in the base model's corpus or in any built-in data set.

    Args:
        resources: folder of the word lists.
        taken: samples whose prompts must not occur.
        folder: where the files go.
        settings: how many topics.
    """
    world = load_worlds(resources, seed=settings.seed)["cases"]
    prompts = PromptBook()
    for path in taken:
        for sample in read_samples(path):
            prompts.take(sample.messages[0].content)
    for part, number in (
        ("train", settings.num_demo_train_topics),
        ("heldout", settings.num_demo_heldout_topics),
    ):
        made = make_samples(
            world,
            name=f"topics_{part}",
            number=number * settings.questions_per_topic,
            flawed_share=0.0,
            seed=settings.seed,
            prompts=prompts,
            avoids_near_duplicates=False,
        )
        rows = _group([each.sample for each in made], size=settings.questions_per_topic)
        rows = [{"id": f"{part}_{index}", **row} for index, row in enumerate(rows)]
        write_text(folder / f"topics_{part}.jsonl", _lines(rows))
        logger.info("topics_%s.jsonl: %d topics", part, len(rows))


def _group(samples: Sequence[Sample], *, size: int) -> list[dict[str, Any]]:
    """Samples of one language, so many at a time, as topics; the languages take turns."""
    waiting: dict[str, list[Sample]] = {language: [] for language in _TOPIC}
    rows = []
    for sample in samples:
        language = str(sample.group)[-2:]
        group = waiting[language]
        group.append(sample)
        if len(group) == size:
            rows.append(_topic(group, language))
            group.clear()
    return rows


def _topic(samples: Sequence[Sample], language: str) -> dict[str, Any]:
    return {
        "topic": _TOPIC[language],
        "category": "case",
        "language": language,
        "turns": [sample.messages[0].content for sample in samples],
        "reference": [(sample.reference or {})["answer"] for sample in samples],
    }


def _lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

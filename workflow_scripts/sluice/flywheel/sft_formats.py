"""An exchange as a sample to learn from: canonical messages, or Alpaca's form with a history."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sluice.files import atomic_path
from sluice.flywheel.judged import JudgedExchange, Simulation
from sluice.flywheel.messages import without_thoughts
from sluice.records import Message, Sample, write_samples
from sluice.settings.flywheel_turn import SftFormat


def exchange_sample(each: JudgedExchange, *, simulation: Simulation, dataset: str) -> Sample:
    """System prompt, the exchanges before as context, the question and the answer.

    The context is what the model saw when it answered: its earlier answers without their reasoning,
    unless the simulation kept it.

    Scores, dialogue and language stand in ``meta``; ``group`` is the topic's category.
    """
    messages = []
    if simulation.system_prompt:
        messages.append(Message(role="system", content=simulation.system_prompt))
    for exchange in each.history:
        said = exchange.assistant
        seen = said if simulation.keeps_thoughts else without_thoughts(said)
        messages.append(Message(role="user", content=exchange.user))
        messages.append(Message(role="assistant", content=seen))
    messages.append(Message(role="user", content=each.exchange.user))
    messages.append(Message(role="assistant", content=each.exchange.assistant))
    reference = each.exchange.reference
    return Sample(
        messages=tuple(messages),
        dataset=dataset,
        id=f"{dataset}_{each.dialogue.id}_{each.index}",
        group=each.dialogue.group,
        reference=None if reference is None else {"answer": reference},
        meta={
            "dialogue": each.dialogue.id,
            "exchange": each.index,
            "topic": each.dialogue.topic,
            "language": each.dialogue.language,
            "scores": dict(each.verdict.scores or {}),
        },
    )


def write_sft(path: Path, samples: Sequence[Sample], *, sft_format: SftFormat) -> None:
    """Writes the samples, one JSON object a line."""
    if sft_format == "messages":
        write_samples(path, samples)
        return
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as stream,
    ):
        for sample in samples:
            stream.write(json.dumps(alpaca_row(sample), ensure_ascii=False) + "\n")


def alpaca_row(sample: Sample) -> dict[str, Any]:
    """``instruction``, ``input`` (empty), ``output``, ``system`` and ``history`` of pairs."""
    said = [message.content for message in sample.messages if message.role != "system"]
    system = next((each.content for each in sample.messages if each.role == "system"), "")
    return {
        "instruction": said[-2],
        "input": "",
        "output": said[-1],
        "system": system,
        "history": [list(pair) for pair in zip(said[:-2:2], said[1:-2:2], strict=True)],
        "id": sample.id,
        "group": sample.group,
    }

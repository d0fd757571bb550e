"""A model's answers to the items of a suite, through any engine.

Each answer is on disk as soon as the engine has it, so a killed run loses none; a rerun asks only
for those that are missing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.engines.engine import Engine, Request, Sampling
from sluice.engines.notes import generate_all
from sluice.errors import ConfigError, DataError, shorten_ids
from sluice.files import atomic_path
from sluice.logs import get_logger
from sluice.records import Message, Sample, iterate_lines, read_samples
from sluice.seeds import derive_seed
from sluice.settings.engine import drawing_problems
from sluice.settings.evaluation import Generation

logger = get_logger(__name__)


class Answer(BaseModel):
    """One completion of one item: a line of ``{suite}.answers.jsonl``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Of the item."""
    sample: Annotated[int, Field(ge=0)]
    """Which of the item's completions, from 0."""
    group: str | None
    prompt: tuple[Message, ...]
    completion: str
    finish_reason: Literal["stop", "length"]
    num_tokens: int

    @classmethod
    def label(cls) -> str:
        """What a line is, for messages."""
        return "answer"


A = TypeVar("A", bound=Answer)


def read_suite(path: Path) -> list[Sample]:
    """The items of a suite.

    Raises:
        DataError: there is none, an id stands twice, or an item has no prompt.
    """
    samples = list(read_samples(path))
    if not samples:
        raise DataError("the suite has no item", where=str(path))
    counts = Counter(sample.id for sample in samples)
    twice = [each for each, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"{len(twice):,} ids stand more than once ({shorten_ids(twice)})", where=str(path)
        )
    silent = [sample.id for sample in samples if not prompt_of(sample)]
    if silent:
        raise DataError(
            f"{len(silent):,} items have no message to answer ({shorten_ids(silent)})",
            where=str(path),
        )
    return samples


def prompt_of(sample: Sample) -> tuple[Message, ...]:
    """What the model is given: the dialogue without the reference response that may end it."""
    is_answered = bool(sample.messages) and sample.messages[-1].role == "assistant"
    return sample.messages[:-1] if is_answered else sample.messages


def generate_answers(
    engine: Engine, samples: Sequence[Sample], *, settings: Generation, seed: int, state: Path
) -> list[Answer]:
    """All answers, in the order of the items; those of one item after each other.

    Args:
        engine: what answers.
        samples: the items.
        settings: how many answers an item, and how tokens are drawn.
        seed: each answer draws from a seed of its own, by item and number.
        state: folder of this very run's progress.
    Raises:
        ConfigError: several answers are wanted and nothing is drawn, so that all would be equal.
        EngineError: the engine failed, or left requests open.
    """
    num_samples = settings.num_samples
    for what, expected in drawing_problems(
        "", num_samples=num_samples, temperature=settings.temperature
    ):
        raise ConfigError(what, expected=expected)
    requests = [
        Request(prompt_of(sample), derive_seed(seed, "generate_answers", sample.id, number))
        for sample in samples
        for number in range(num_samples)
    ]
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_new_tokens)
    done, _ = generate_all(
        engine, requests, sampling=sampling, notes_path=state / "completions.jsonl"
    )
    return [
        Answer(
            id=samples[index // num_samples].id,
            sample=index % num_samples,
            group=samples[index // num_samples].group,
            prompt=requests[index].messages,
            completion=completion.text,
            finish_reason=completion.finish_reason,
            num_tokens=completion.num_tokens,
        )
        for index, completion in enumerate(done)
    ]


def write_answers(path: Path, answers: Iterable[Answer]) -> None:
    """Writes answers, graded or not, as JSONL, whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        for answer in answers:
            stream.write(answer.model_dump_json().encode() + b"\n")


def read_answers(path: Path, kind: type[A]) -> list[A]:
    """The lines of `write_answers`: answers, or graded answers.

    Raises:
        DataError: the file is missing, or a line is none of these.
    """
    return [_parse(line, kind, number=number, path=path) for number, line in iterate_lines(path)]


def _parse(line: bytes, kind: type[A], *, number: int, path: Path) -> A:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "line"
        raise DataError(
            f"line {number:,} is no {kind.label()}: {field}: {first['msg']}",
            where=str(path),
            hint="make the file anew, with the script of this version",
        ) from None

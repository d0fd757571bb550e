"""Dialogues with their verdicts, as one list of judged exchanges."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.errors import DataError, shorten_ids
from sluice.files import read_json
from sluice.forms import Count, Form, Name, Number, first_fault
from sluice.settings.flywheel_turn import KeepRule

NO_GROUP = "(none)"
SCORED = "scored"


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True)


T = TypeVar("T", bound=_Read)


class Exchange(_Read):
    """What a user said, and the model's answer."""

    user: str
    assistant: str
    reference: str | None = None


class Dialogue(_Read):
    """One dialogue of simulation_data.json."""

    id: Name
    topic: str
    topic_id: str | int
    status: Name
    exchanges: tuple[Exchange, ...]
    category: Name | None = None
    language: Name | None = None

    @property
    def group(self) -> str:
        """What the dialogue counts under: its category and language, where they are known."""
        return ", ".join(filter(None, (self.category, self.language))) or NO_GROUP


class Simulation(_Read):
    """simulation_data.json, as far as a turn reads it."""

    model: Name
    dialogues: tuple[Dialogue, ...]
    system_prompt: str | None = None
    settings: dict[str, Any] = {}
    counts: dict[Name, Count] = {}
    spending: dict[Name, Count | Number] = {}

    @property
    def keeps_thoughts(self) -> bool:
        """Whether the model saw the reasoning of its own earlier answers."""
        return bool(self.settings.get("keep_thoughts"))


class Verdict(_Read):
    """One verdict of evaluation_results.json; scores are there only where it is ``scored``."""

    dialogue_id: Name
    exchange: Count
    status: Name
    scores: dict[Name, Number] | None = None
    mean: Number | None = None
    reason: str | None = None


class Evaluation(_Read):
    """evaluation_results.json, as far as a turn reads it."""

    judge_model: Name
    dimensions: Annotated[tuple[Name, ...], Field(min_length=1)]
    scale: tuple[Number, Number]
    verdicts: tuple[Verdict, ...]
    counts: dict[Name, Count] = {}
    spending: dict[Name, Count | Number] = {}


@dataclass(frozen=True)
class JudgedExchange:
    """An exchange with its verdict and all that was said before it."""

    dialogue: Dialogue
    index: int
    verdict: Verdict

    @property
    def exchange(self) -> Exchange:
        """What was said."""
        return self.dialogue.exchanges[self.index]

    @property
    def history(self) -> tuple[Exchange, ...]:
        """The exchanges before it."""
        return self.dialogue.exchanges[: self.index]

    @property
    def is_scored(self) -> bool:
        """Whether the judge gave a usable verdict."""
        return self.verdict.status == SCORED


SIMULATION = Form(Simulation, "simulation data", "simulate_dialogues")
EVALUATION = Form(Evaluation, "evaluation of dialogues", "judge_responses")


def read_simulation(path: Path) -> Simulation:
    """Reads simulation_data.json.

    Raises:
        DataError: the file is missing, or not of that form.
    """
    return _parse(path, SIMULATION)


def read_evaluation(path: Path) -> Evaluation:
    """Reads evaluation_results.json.

    Raises:
        DataError: the file is missing, or not of that form.
    """
    return _parse(path, EVALUATION)


def _parse(path: Path, form: Form[T]) -> T:
    try:
        return form.kind.model_validate(read_json(path))
    except ValidationError as error:
        raise form.misfit(first_fault(error), where=str(path)) from None


def join_verdicts(
    simulation: Simulation, evaluation: Evaluation, *, where: str | None = None
) -> list[JudgedExchange]:
    """Every exchange with its verdict, in the order of the dialogues.

    Args:
        simulation: the dialogues.
        evaluation: their verdicts.
        where: the files, for errors.
    Raises:
        DataError: an exchange has no verdict or several, a verdict has no exchange, or an id
            stands for two dialogues.
    """
    verdicts = {(each.dialogue_id, each.exchange): each for each in evaluation.verdicts}
    judged = [
        JudgedExchange(dialogue, index, verdict)
        for dialogue in simulation.dialogues
        for index in range(len(dialogue.exchanges))
        if (verdict := verdicts.get((dialogue.id, index)))
    ]
    num_exchanges = sum(len(dialogue.exchanges) for dialogue in simulation.dialogues)
    counts = Counter(dialogue.id for dialogue in simulation.dialogues)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise DataError(
            f"dialogues stand there twice: {shorten_ids(twice)}",
            where=where,
            expected="an id of its own for each dialogue",
        )
    if not len(judged) == num_exchanges == len(evaluation.verdicts):
        found = {(each.dialogue.id, each.index) for each in judged}
        strays = [f"{name}:{index}" for name, index in verdicts if (name, index) not in found]
        raise DataError(
            f"{num_exchanges:,} exchanges and {len(evaluation.verdicts):,} verdicts fit together "
            f"in {len(judged):,} cases"
            + (f"; verdicts of nothing: {shorten_ids(strays)}" if strays else ""),
            where=where,
            expected="one verdict for each exchange",
            hint="the verdicts are of other dialogues: judge these again",
        )
    _check_scores(judged, evaluation, where=where)
    return judged


def _check_scores(
    judged: Sequence[JudgedExchange], evaluation: Evaluation, *, where: str | None
) -> None:
    odd = [
        f"{each.dialogue.id}:{each.index}"
        for each in judged
        if each.is_scored and not _is_sound(each.verdict, evaluation)
    ]
    if odd:
        low, high = evaluation.scale
        raise DataError(
            f"{len(odd):,} scored verdicts lack a dimension or their mean, or leave the scale "
            f"({shorten_ids(odd)})",
            where=where,
            expected=f"a score from {low:g} to {high:g} for each of "
            f"{', '.join(evaluation.dimensions)}, and the mean",
            hint="make the verdicts again with judge_responses",
        )


def _is_sound(verdict: Verdict, evaluation: Evaluation) -> bool:
    scores, (low, high) = verdict.scores or {}, evaluation.scale
    is_whole = set(scores) == set(evaluation.dimensions) and verdict.mean is not None
    return is_whole and all(low <= score <= high for score in scores.values())


def mean_score(scores: Mapping[str, float]) -> float:
    """The mean over the dimensions."""
    return sum(scores.values()) / len(scores)


def is_good(scores: Mapping[str, float], rule: KeepRule) -> bool:
    """Whether scores meet the rule: all dimensions, or their mean."""
    lowest = min(scores.values()) if rule.keep_by == "all" else mean_score(scores)
    return lowest >= rule.min_score


def check_rule(rule: KeepRule, evaluation: Evaluation) -> None:
    """Refuses a least score that is not on the judge's scale.

    Raises:
        DataError: it lies outside, so that all exchanges or none would be good.
    """
    low, high = evaluation.scale
    if not low <= rule.min_score <= high:
        raise DataError(
            f"min_score is {rule.min_score:g}, but the judge's scale goes from {low:g} to {high:g}",
            hint="set flywheel.min_score on that scale",
        )

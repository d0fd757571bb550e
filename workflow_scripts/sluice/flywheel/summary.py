"""A turn in numbers: summary.json, and whether the wheel may go on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sluice.artifact_forms import FINE_TUNING, MEAN, SHIFTS
from sluice.errors import FlywheelError
from sluice.files import write_json
from sluice.flywheel.judged import read_evaluation, read_simulation
from sluice.flywheel.turn_hashes import hash_artifact
from sluice.flywheel.turn_scores import (
    Difference,
    TurnScores,
    compare,
    estimate,
    read_turn,
    shared_ids,
)
from sluice.forms import read_artifact
from sluice.intervals import NUM_DRAWS
from sluice.ledger import read_ledger
from sluice.logs import get_logger
from sluice.settings.flywheel_turn import SummarizeTurn

logger = get_logger(__name__)

FORMAT_VERSION = 1


@dataclass(frozen=True)
class TrainingFiles:
    """What a turn's training left behind; turn 0 has none."""

    simulation: Path
    evaluation: Path
    ledger: Path
    shift: Path
    metrics: Path

    @classmethod
    def of(cls, folder: Path) -> "TrainingFiles":
        """Where the rules put them in a turn's folder."""
        return cls(
            simulation=folder / "train/simulation_data.json",
            evaluation=folder / "train/evaluation_results.json",
            ledger=folder / "sft_train.ledger.json",
            shift=folder / "sft_train.shift.json",
            metrics=folder / "adapter/metrics.json",
        )


def summarize_turn(
    simulations: Sequence[Path],
    evaluations: Sequence[Path],
    *,
    training: TrainingFiles | None,
    settings: SummarizeTurn,
    output: Path,
) -> None:
    """Writes the summary of the last of the turns; one that lost too much stops the wheel.

    Args:
        simulations: held-out dialogues of turns 0, 1, ... in this order.
        evaluations: their verdicts.
        training: of the last turn; None for turn 0.
        settings: what is good, and which loss stops.
        output: summary.json. Where the wheel stops, stopped_summary.json is written instead.
    Raises:
        DataError: the files do not fit together.
        FlywheelError: the turn shows a loss beyond ``max_regression``.
    """
    turns = [
        read_turn(number, *paths, rule=settings)
        for number, paths in enumerate(zip(simulations, evaluations, strict=True))
    ]
    last = turns[-1]
    against = {earlier.turn: comparison(last, earlier, settings) for earlier in _earlier(turns)}
    summary = {
        "format_version": FORMAT_VERSION,
        "turn": last.turn,
        "model": last.model,
        "evaluator": last.judge,
        "dimensions": list(last.dimensions),
        "scale": list(last.scale),
        "settings": settings.model_dump(mode="json"),
        "interval": f"95 %, bootstrap over dialogues, {NUM_DRAWS:,} draws",
        "scores": scores_of(last, settings),
        "groups": groups_of(last, settings),
        "against": list(against.values()),
        "trajectory": [{"turn": turn.turn, **scores_of(turn, settings)} for turn in turns],
        "training": _training(training) if training else None,
        "spending": _spending(simulations[-1], evaluations[-1], training),
        "hashes": _hashes(simulations[-1], evaluations[-1], training),
    }
    loss = _loss(turns, settings)
    stopped = output.with_name(f"stopped_{output.name}")
    write_json(output if loss is None else stopped, {**summary, "is_stopped": loss is not None})
    _log(last, summary)
    if loss:
        raise _stop(last, loss, settings, stopped)
    stopped.unlink(missing_ok=True)


def _earlier(turns: Sequence[TurnScores]) -> list[TurnScores]:
    """The turn before, and the first one where that is another."""
    last = turns[-1].turn
    return [turns[number] for number in sorted({last - 1, 0}, reverse=True) if 0 <= number < last]


def scores_of(turn: TurnScores, settings: SummarizeTurn) -> dict[str, Any]:
    """All measures of a turn with their intervals, and how many verdicts there are."""
    return {
        "num_dialogues": len(turn.dialogues),
        "num_exchanges": sum(each.num_scored for each in turn.dialogues.values()),
        "num_unscored_dialogues": turn.num_unscored_dialogues,
        "verdicts": turn.statuses,
        **{
            measure: asdict(estimate(turn, measure, seed=settings.seed))
            for measure in turn.measures
        },
    }


def groups_of(turn: TurnScores, settings: SummarizeTurn) -> list[dict[str, Any]]:
    """The mean score of each group of topics."""
    return [
        {
            "group": group,
            "num_dialogues": len(ids),
            MEAN: asdict(estimate(turn, MEAN, seed=settings.seed, ids=ids)),
        }
        for group, ids in turn.groups().items()
    ]


def comparison(turn: TurnScores, earlier: TurnScores, settings: SummarizeTurn) -> dict[str, Any]:
    """The paired differences of a turn to an earlier one, turn minus earlier."""
    ids = shared_ids(turn, earlier)
    of_group = {group: set(names) & set(ids) for group, names in turn.groups().items()}
    return {
        "turn": earlier.turn,
        "num_dialogues": len(ids),
        "num_unpaired": len(set(turn.dialogues) ^ set(earlier.dialogues)),
        "differences": {
            measure: _flat(compare(turn, earlier, measure, ids=ids, seed=settings.seed))
            for measure in turn.measures
        },
        "groups": [
            {
                "group": group,
                **_flat(compare(turn, earlier, MEAN, ids=sorted(names), seed=settings.seed)),
            }
            for group, names in of_group.items()
            if names
        ],
    }


def _flat(difference: Difference) -> dict[str, Any]:
    return {
        "num_dialogues": difference.num_dialogues,
        **asdict(difference.value),
        "wins": difference.wins,
        "ties": difference.ties,
        "losses": difference.losses,
        "p": difference.p_value,
        "finding": difference.finding,
    }


def _training(files: TrainingFiles) -> dict[str, Any]:
    """What was talked about, kept and learnt."""
    ledger = read_ledger(files.ledger)
    found = read_artifact(files.metrics, FINE_TUNING)
    metrics: Mapping[str, Any] = found
    evaluation = read_evaluation(files.evaluation)
    return {
        "judge": evaluation.judge_model,
        "dialogues": read_simulation(files.simulation).counts,
        "verdicts": evaluation.counts,
        "ledger": {key: ledger[key] for key in ("rows_in", "rows_kept", "rejected")},
        "shifts": read_artifact(files.shift, SHIFTS)["features"],
        "fine_tuning": {
            key: metrics[key]
            for key in ("method", "num_samples", "num_held_out", "num_steps", "best_step",
                        "best_eval_loss", "last_tenth_loss")
        },
    }  # fmt: skip


def _spending(simulation: Path, evaluation: Path, training: TrainingFiles | None) -> dict[str, Any]:
    """Tokens and cost by step, as the steps booked them."""
    found = {
        "simulate_held_out": read_simulation(simulation).spending,
        "judge_held_out": read_evaluation(evaluation).spending,
    }
    if training:
        found["simulate_train"] = read_simulation(training.simulation).spending
        found["judge_train"] = read_evaluation(training.evaluation).spending
    return found


def _hashes(simulation: Path, evaluation: Path, training: TrainingFiles | None) -> dict[str, str]:
    """SHA-256 of what the numbers come from, by path; measured times do not count."""
    paths = [simulation, evaluation]
    if training:
        paths += [training.simulation, training.evaluation, training.ledger, training.metrics]
    return {str(path): hash_artifact(path) for path in paths}


def _loss(turns: Sequence[TurnScores], settings: SummarizeTurn) -> Difference | None:
    """The loss against the turn before, if it is one that stops the wheel."""
    if len(turns) < 2:
        return None
    last, before = turns[-1], turns[-2]
    ids = shared_ids(last, before)
    found = compare(last, before, MEAN, ids=ids, seed=settings.seed)
    is_too_much = found.finding == "loss" and -found.value.value > settings.max_regression
    return found if is_too_much else None


def _stop(
    turn: TurnScores, loss: Difference, settings: SummarizeTurn, stopped: Path
) -> FlywheelError:
    value = loss.value
    return FlywheelError(
        f"turn {turn.turn} is worse than the turn before: its mean score on {loss.num_dialogues:,} "
        f"held-out dialogues changed by {value.value:+.3f} [{value.low:+.3f}, {value.high:+.3f}] "
        f"({loss.wins:,} better, {loss.losses:,} worse); the wheel stops",
        where=str(stopped),
        expected=f"no loss beyond {settings.max_regression:g} (flywheel.max_regression)",
        hint="look at the kept samples and their shift.json; then change min_score or the "
        "adapter's learning rate or steps, or raise flywheel.max_regression to go on all the same",
    )


def _log(turn: TurnScores, summary: Mapping[str, Any]) -> None:
    score = summary["scores"][MEAN]
    logger.info(
        "turn %d: mean score %.3f [%.3f, %.3f] over %d dialogues",
        *(turn.turn, score["value"], score["low"], score["high"], len(turn.dialogues)),
    )
    for row in summary["against"]:
        found = row["differences"][MEAN]
        logger.info(
            "against turn %d: %+.3f [%+.3f, %+.3f], %d better, %d same, %d worse: %s",
            *(row["turn"], found["value"], found["low"], found["high"]),
            *(found["wins"], found["ties"], found["losses"], found["finding"]),
        )

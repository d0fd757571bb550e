"""A run of evaluate_core: a bundle and a model in, a table of accuracies out."""

import json
from pathlib import Path

from sluice.core_metric.bundle import no_bundle, present_tasks, read_tasks
from sluice.core_metric.evaluation import Evaluation, evaluate
from sluice.core_metric.model import load_model
from sluice.core_metric.results import results_table
from sluice.files import atomic_path
from sluice.logs import get_logger
from sluice.settings.core_metric import EvaluateCore
from sluice.state import clear_state, open_state
from sluice.tables import write_csv

logger = get_logger(__name__)

# The bundle counts by its bytes; the seed only draws the interval.
_NOT_IN_STATE = {"bundle", "seed"}


def evaluate_core(
    model: str,
    *,
    revision: str | None,
    device: str,
    settings: EvaluateCore,
    table: Path,
    items: Path | None,
    state_root: Path,
) -> Evaluation:
    """Evaluates a model on a bundle; a run that was killed goes on where it was.

    Args:
        model: folder or hub id.
        revision: commit, tag or branch of a hub model.
        device: ``auto`` takes a GPU where there is one.
        settings: the bundle, and how it is evaluated.
        table: CSV to write.
        items: every item's decision, JSON Lines to write; None for none.
        state_root: where progress of this rule is kept.
    Raises:
        ConfigError: no bundle is named.
        DataError: the bundle lacks something.
        ModelError: the model cannot be loaded.
    """
    if settings.bundle is None:
        raise no_bundle()
    tasks = read_tasks(Path(settings.bundle))
    present = present_tasks(tasks, allow_missing=settings.allow_missing)
    state = open_state(
        state_root,
        script="evaluate_core",
        settings={
            **settings.model_dump(exclude=_NOT_IN_STATE),
            "tasks": [task.label for task in present],
            **({} if Path(model).exists() else {"model": model, "revision": revision}),
            "device": device,
        },
        inputs=[
            Path(settings.bundle) / "core.yaml",
            *(task.data for task in present),
            *([Path(model)] if Path(model).exists() else []),
        ],
    )
    loaded, tokenizer = load_model(
        model, revision=revision, device=device, precision=settings.precision
    )
    found = evaluate(loaded, tokenizer, present, settings=settings, state=state)
    content = results_table(tasks, found.results, seed=settings.seed)
    write_csv(table, content)
    if items is not None:
        write_items(items, found)
    for row in content[content["task"].str.startswith("CORE_")].to_dict("records"):
        version = row["task"].removeprefix("CORE_")
        value = row[f"centred_{version}"]
        logger.info(
            "%s %.4f, 95 %% interval %.4f to %.4f, %s",
            row["task"],
            value,
            row["low"],
            row["high"],
            row["status"],
        )
    clear_state(state)
    return found


def write_items(path: Path, found: Evaluation) -> None:
    """Every item's decision as JSON Lines, by task, in the order of the shuffled items."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        for label, decisions in found.decisions.items():
            for line, decision in zip(found.lines[label], decisions, strict=True):
                losses = [None if loss is None else round(loss, 6) for loss in decision.losses_nats]
                entry = {
                    "task": label,
                    "index": decision.index,
                    "line": line,
                    "is_correct": decision.is_correct,
                    "predicted": decision.predicted,
                    "losses_nats": losses,
                }
                stream.write(json.dumps(entry) + "\n")

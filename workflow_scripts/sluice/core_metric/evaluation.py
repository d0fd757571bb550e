"""All tasks through one model: decisions on every item, kept as they come."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.core_metric.bundle import Item, Task, check_shots, read_items
from sluice.core_metric.decisions import Decision, decide
from sluice.core_metric.model import context_tokens, default_batch_tokens
from sluice.core_metric.notes import Notes
from sluice.core_metric.questions import Question, encode_questions
from sluice.core_metric.results import TaskResult
from sluice.core_metric.scoring import Scorer
from sluice.logs import get_logger, progress
from sluice.settings.core_metric import EvaluateCore

logger = get_logger(__name__)

_BLOCK = 500
"""Items that are tokenised and sorted by length together; bounds the memory for tokens."""


@dataclass(frozen=True)
class ReadTask:
    """A task and what is evaluated of it."""

    task: Task
    pool: Sequence[Item]
    """What few-shot examples are drawn from; the evaluated items come first."""
    num_items: int
    num_available: int


@dataclass(frozen=True)
class Evaluation:
    """Everything that came out."""

    results: Mapping[str, TaskResult]
    """By task label."""
    decisions: Mapping[str, Sequence[Decision]]
    """By task label, in the order of the shuffled items."""
    lines: Mapping[str, Sequence[int]]
    """By task label, in the same order: the item's line in the data file, from 1."""


def read_task(task: Task, settings: EvaluateCore) -> ReadTask:
    """Reads a task's items and decides which are evaluated.

    Raises:
        DataError: the data cannot be read, or holds too few items for the few-shot examples.
    """
    items = read_items(task)
    num_items = min(len(items), settings.max_per_task or len(items))
    pool = items[:num_items] if settings.nanochat_compatible else items
    check_shots(task, num_items=len(pool))
    return ReadTask(task, pool, num_items, len(items))


def evaluate(
    model: Any, tokenizer: Any, tasks: Sequence[Task], *, settings: EvaluateCore, state: Path
) -> Evaluation:
    """Decides every item of every task; goes on from what an earlier run left in ``state``.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: the model's.
        tasks: those whose data is there.
        settings: how many items, how many tokens at once.
        state: the run's own folder.
    """
    read = [read_task(task, settings) for task in tasks]
    total = sum(each.num_items for each in read)
    with Notes(state / "decisions.jsonl") as notes:
        start = notes.num_decisions
        if start:
            logger.info("%d of %d items were decided by an earlier run", start, total)
        decided = _decide_all(model, tokenizer, read, settings=settings, notes=notes)
        for _ in progress(decided, total=total, what="items", logger=logger, start=start):
            pass
        return _collect(read, notes)


def _decide_all(
    model: Any,
    tokenizer: Any,
    tasks: Sequence[ReadTask],
    *,
    settings: EvaluateCore,
    notes: Notes,
) -> Iterator[Decision]:
    scorer = Scorer(
        model, max_batch_tokens=settings.max_batch_tokens or default_batch_tokens(model)
    )
    if not scorer.can_reuse_prefix:
        logger.info("this model's cache cannot be continued: every option is read whole")
    max_tokens = settings.max_context_tokens or context_tokens(model)
    for each in tasks:
        yield from _decide_task(each, scorer, tokenizer, max_tokens=max_tokens, notes=notes)
        label = each.task.label
        num_correct = sum(decision.is_correct for decision in notes.decisions[label].values())
        logger.info(
            "%s: %d of %d right, %.1f s", label, num_correct, each.num_items, notes.seconds[label]
        )


def _decide_task(
    read: ReadTask, scorer: Scorer, tokenizer: Any, *, max_tokens: int | None, notes: Notes
) -> Iterator[Decision]:
    task = read.task
    done = notes.decisions[task.label]
    for start in range(0, read.num_items, _BLOCK):
        block = range(start, min(start + _BLOCK, read.num_items))
        if all(index in done for index in block):
            continue
        questions = encode_questions(
            task, read.pool, block, tokenizer=tokenizer, max_tokens=max_tokens
        )
        _report_oddities(task, questions, max_tokens=max_tokens)
        # A line of the notes is a whole batch, and the same block gives the same batches: what is
        # left runs as it would have run undisturbed.
        for batch in scorer.plan(questions):
            if all(question.index in done for question in batch.questions):
                continue
            scores = scorer.score(batch)
            decisions = [
                decide(task.type, question, rows)
                for question, rows in zip(batch.questions, scores, strict=True)
            ]
            notes.add(task.label, decisions)
            yield from decisions


def _report_oddities(task: Task, questions: Sequence[Question], *, max_tokens: int | None) -> None:
    """Says how many items are not quite what the metric means."""
    num_split = sum(question.has_split_token for question in questions)
    num_cropped = sum(
        any(len(row.tokens) == max_tokens for row in question.rows) for question in questions
    )
    num_without = sum(any(not row.num_scored for row in question.rows) for question in questions)
    for count, what in (
        (num_cropped, f"fill the context of {max_tokens} tokens, or were cut to it from the left"),
        (num_split, "have a continuation that begins inside a token"),
        (num_without, "have an option without a token of its own"),
    ):
        if count:
            logger.info("%s: %d of %d items %s", task.label, count, len(questions), what)


def _collect(tasks: Sequence[ReadTask], notes: Notes) -> Evaluation:
    decisions: dict[str, list[Decision]] = {}
    for each in tasks:
        by_index = notes.decisions[each.task.label]
        decisions[each.task.label] = [by_index[index] for index in range(each.num_items)]
    results = {
        each.task.label: TaskResult(
            task=each.task,
            num_correct=sum(decision.is_correct for decision in decisions[each.task.label]),
            num_items=each.num_items,
            num_available=each.num_available,
            seconds=notes.seconds[each.task.label],
        )
        for each in tasks
    }
    lines = {each.task.label: [item.line for item in each.pool[: each.num_items]] for each in tasks}
    return Evaluation(results, decisions, lines)

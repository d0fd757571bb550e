"""A run of generate_answers: a suite and an engine in, a file of answers out."""

from collections.abc import Callable, Mapping
from pathlib import Path

from sluice.engines.engine import Engine
from sluice.evaluation.answers import generate_answers, read_suite, write_answers
from sluice.files import check_no_folder
from sluice.logs import get_logger
from sluice.settings.base import dump_tracked
from sluice.settings.evaluation import GenerateAnswers
from sluice.state import clear_state, open_state

logger = get_logger(__name__)


def answer_suite(
    samples: Path,
    *,
    load_engine: Callable[[], Engine],
    settings: GenerateAnswers,
    source: Mapping[str, str | None],
    output: Path,
    state_root: Path,
) -> None:
    """Lets an engine answer a suite; a run that was killed goes on where it was.

    Args:
        samples: the suite, canonical samples.
        load_engine: loads what answers; called once the suite is found good.
        settings: how answers are drawn.
        source: what the engine answers with: model, revision and adapter. Those that are local
            folders count by their bytes, the others by their names.
        output: answers to write.
        state_root: where progress of this rule is kept.
    """
    check_no_folder(output)
    items = read_suite(samples)
    local = {name: Path(value) for name, value in source.items() if value and Path(value).exists()}
    names = {name: value for name, value in source.items() if name not in local}
    state = open_state(
        state_root,
        script="generate_answers",
        settings={**dump_tracked(settings), **names},
        inputs=[samples, *local.values()],
    )
    answers = generate_answers(
        load_engine(), items, settings=settings, seed=settings.seed, state=state
    )
    write_answers(output, answers)
    num_cut = sum(answer.finish_reason == "length" for answer in answers)
    logger.info("%d items, %d answers, %d cut off", len(items), len(answers), num_cut)
    clear_state(state)

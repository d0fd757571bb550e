"""Whole runs of the sampling stage: a model and prompts in, the kept completions out."""

from pathlib import Path

from sluice.engines.building import make_engine
from sluice.engines.engine import Sampling
from sluice.engines.notes import generate_all
from sluice.errors import ConfigError
from sluice.grading.choosing import make_grader
from sluice.logs import get_logger
from sluice.sampling.formats import choose_prompts, is_law_cases, read_prompts
from sluice.sampling.sampling import (
    check_references,
    grade_completions,
    make_requests,
)
from sluice.sampling.statistics import summarise
from sluice.sampling.writing import check_folder, write_sampled
from sluice.settings.base import dump_tracked, narrow
from sluice.settings.engine import EngineSettings, drawing_problems
from sluice.settings.grading import GraderSettings
from sluice.settings.sampling import TaskSettings
from sluice.state import clear_state, open_state

logger = get_logger(__name__)


def sample_responses(
    settings: TaskSettings,
    *,
    seed: int,
    model: str,
    revision: str | None,
    adapter: str | None,
    prompts_path: Path,
    articles: Path | None,
    legal_prompt: Path,
    output: Path,
    state_root: Path,
) -> None:
    """Samples, grades and writes sampled_data.json and the files beside it.

    Args:
        settings: how many completions, how they are drawn, judged and generated.
        seed: from which each completion's own seed is derived.
        model: hub id or folder, or the name that an OpenAI-compatible server knows.
        revision: of a hub model.
        adapter: folder of an adapter for the model.
        prompts_path: canonical samples or LawShift cases.
        articles: LawShift: the statute.
        legal_prompt: LawShift: the prompt's template.
        output: sampled_data.json; the others stand in its folder.
        state_root: where progress of this task is kept.
    Raises:
        ConfigError: several completions are wanted and nothing is drawn, so all would be equal.
        DataError: the prompts cannot be used, or the folder holds another output.
        GradingError: a reference does not fit the grader.
        EngineError: the engine cannot generate.
    """
    for what, expected in drawing_problems(
        "", num_samples=settings.num_samples, temperature=settings.temperature
    ):
        raise ConfigError(what, expected=expected)
    check_folder(output)
    everything = read_prompts(prompts_path, articles=articles, legal_prompt=legal_prompt)
    settings = _fit_grader(settings, is_law=is_law_cases(prompts_path))
    prompts = choose_prompts(everything, num_prompts=settings.num_prompts, seed=seed)
    grader = make_grader(narrow(settings, GraderSettings))
    check_references(prompts, grader, where=prompts_path)
    where = {"model": model, "revision": revision, "adapter": adapter}
    state = open_state(
        state_root,
        script="sample_responses",
        settings={**dump_tracked(settings), **where, "seed": seed},
        inputs=_inputs(prompts_path, articles, legal_prompt, model, adapter),
    )
    completions, seconds = generate_all(
        make_engine(
            narrow(settings, EngineSettings),
            model=model,
            revision=revision,
            adapter=adapter,
            output=output,
        ),
        make_requests(prompts, num_samples=settings.num_samples, seed=seed),
        sampling=Sampling(settings.temperature, settings.top_p, settings.max_new_tokens),
        notes_path=state / "completions.jsonl",
    )
    graded = grade_completions(
        prompts, completions, grader=grader, deduplicate=settings.deduplicate
    )
    used = {**where, "prompts": str(prompts_path), "seed": seed, **dump_tracked(settings)}
    summary = summarise(graded, seconds=seconds, used=used)
    write_sampled(output, list(zip(prompts, graded, strict=True)), summary=summary)
    clear_state(state)


def _fit_grader(settings: TaskSettings, *, is_law: bool) -> TaskSettings:
    """LawShift cases are judged on charge and term, unless another legal grader is asked for."""
    if is_law and settings.grader == "exact":
        logger.info("LawShift cases: graded by legal_judgment (charge and term)")
        return settings.model_copy(update={"grader": "legal_judgment"})
    return settings


def _inputs(
    prompts: Path, articles: Path | None, legal_prompt: Path, model: str, adapter: str | None
) -> list[Path]:
    """Every local file or folder whose bytes the completions depend on."""
    named = [Path(model), *([Path(adapter)] if adapter else [])]
    law = [articles, legal_prompt] if articles else []
    return [prompts, *law, *(path for path in named if path.exists())]

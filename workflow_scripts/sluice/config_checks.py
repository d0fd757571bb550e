"""What a checked configuration must still be: names that are defined, files that are there.

Each check raises a ConfigError with the key, its file and a hint.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.config_files import place_of
from sluice.errors import ConfigError, GradingError, shorten_ids
from sluice.focus_patterns import compile_focus
from sluice.grading.choosing import make_grader
from sluice.model_families import shared_families
from sluice.records import read_samples
from sluice.settings.base import narrow
from sluice.settings.engine import drawing_problems, engine_problems
from sluice.settings.evaluation import suite_problems
from sluice.settings.grading import GraderSettings
from sluice.topics import Topic, read_topics, shared_topics
from sluice.validation import nearest

if TYPE_CHECKING:
    from sluice.config import Config

# What argparse takes for a flag: not a negative number.
_FLAG = re.compile(r"-[^0-9.]")
# What the flywheel's adapters are called.
_TURN = re.compile(r"turn_\d+")
# What rules make of canonical samples: the built-in ones, those of a dataset, those of a turn.
_DEMO_SAMPLES = (
    *(
        f"results/demo/{part}{name}.jsonl"
        for name in ("numbers", "countries", "cases")
        for part in ("", "heldout_")
    ),
    "results/demo/base_corpus.jsonl",
)
_DATA_STEPS = ("samples", "clean", "train", "test")
_KEPT = ("selected", "random")
_TURN_SAMPLES = re.compile(r"results/flywheel/turn_(0|[1-9]\d*)/sft_train\.jsonl")
# A wrong grader is so for all of them, and every job looks anew.
_REFERENCES_LOOKED_AT = 1000
# Keys that name text files and folders.
_TEXT_KEYS = (
    *(("tokenizer", key) for key in ("text", "unseen_text", "domains")),
    *(("base", key) for key in ("text", "heldout_text")),
    *(("base_loss", key) for key in ("train_text", "heldout_text", "prompts")),
)


def check_local_sources(config: "Config", *, files: Sequence[Path] = ()) -> None:
    """Looks for the files that the configuration names, before anything runs.

    What is below ``results/`` need not be there; samples and prompts below it must then be what a
    rule makes.

    Raises:
        ConfigError: a local path does not exist, with the nearest name that does; no rule makes the
            samples; or topics of the flywheel are both learnt from and held out.
        DataError: a file of topics, or of a suite's samples, is none.
        GradingError: a suite's grader cannot compare with the references of its samples.
    """
    for name, dataset in config.datasets.items():
        for key in ("path", "articles", "truth"):
            path = getattr(dataset, key)
            _check_braces(path, ("datasets", name, key), files=files)
            if path and not path.startswith("results/") and not Path(path).exists():
                raise ConfigError(
                    f"'datasets.{name}.{key}' is '{path}', which does not exist",
                    where=place_of(("datasets", name, key), path, files),
                    hint=nearest(Path(path).name, _names_beside(path)),
                )
    bundle = config.core.bundle
    if bundle and not Path(bundle).is_dir():
        raise ConfigError(
            f"'core.bundle' is '{bundle}', which is no folder",
            where=place_of(("core", "bundle"), bundle, files),
        )
    for name, suite in config.suites.items():
        path = suite.lawshift
        if path and not path.startswith("results/") and not Path(path).exists():
            raise ConfigError(
                f"'suites.{name}.lawshift' is '{path}', which does not exist",
                where=place_of(("suites", name, "lawshift"), path, files),
            )
    _check_samples(config, files)
    _check_references(config)
    _check_texts(config, files)
    _check_topics(config, files)


def _check_braces(path: str | None, key: tuple[str, ...], *, files: Sequence[Path]) -> None:
    """Refuses names that Snakemake would fill in as patterns, of a folder's files too."""
    if path is None:
        return
    inside = [str(each) for each in Path(path).rglob("*[{}]*") if each.is_file()]
    odd = [name for name in (path, *inside) if "{" in name or "}" in name]
    if odd:
        raise ConfigError(
            f"'{'.'.join(key)}' names '{odd[0]}', whose braces Snakemake takes for a pattern",
            where=place_of(key, path, files),
            hint="rename it",
        )


def _check_texts(config: "Config", files: Sequence[Path]) -> None:
    for section, key in _TEXT_KEYS:
        value = getattr(getattr(config, section), key)
        for path in (value,) if isinstance(value, str) else value:
            if not path.startswith("results/") and not Path(path).exists():
                held = value if isinstance(value, str) else list(value)
                raise ConfigError(
                    f"'{section}.{key}' names '{path}', which does not exist",
                    where=place_of((section, key), held, files),
                    hint=nearest(Path(path).name, _names_beside(path)),
                )


def _names_beside(path: str) -> list[str]:
    folder = Path(path).parent
    return [each.name for each in folder.iterdir()][:200] if folder.is_dir() else []


def _check_samples(config: "Config", files: Sequence[Path]) -> None:
    """Refuses samples that are not there and that no rule makes.

    Snakemake would say "Nothing to be done" where an older result is there: without a rule for what
    it was made from, that result counts as a source itself.
    """
    made = made_samples(config)
    for place, held in _samples_named(config):
        for path in (held,) if isinstance(held, str) else held:
            if path in made or _TURN_SAMPLES.fullmatch(path) or Path(path).exists():
                continue
            is_result = path.startswith("results/")
            how = "no rule makes under this configuration" if is_result else "does not exist"
            hint = nearest(path, made) if is_result else None
            raise ConfigError(
                f"'{'.'.join(place)}' {'is' if path == held else 'names'} '{path}', which {how}",
                where=place_of(place, held, files),
                hint=hint or nearest(Path(path).name, _names_beside(path)),
            )


def _check_references(config: "Config") -> None:
    """Lets graders look at the first references of suites, before there are answers to grade.

    Only at files that no rule makes: what is below ``results/`` may be made anew in this run.
    """
    for name, suite in config.suites.items():
        if not suite.samples or suite.samples.startswith("results/"):
            continue
        grader = make_grader(narrow(suite, GraderSettings))
        for sample in islice(read_samples(Path(suite.samples)), _REFERENCES_LOOKED_AT):
            try:
                grader("", sample.reference or {})
            except GradingError as error:
                raise GradingError(
                    f"'suites.{name}' cannot grade the sample '{sample.id}': {error.what}",
                    where=suite.samples,
                    expected=error.expected,
                    hint=error.hint or "choose the grader that fits the samples",
                ) from None


def _samples_named(config: "Config") -> Iterator[tuple[tuple[str, str, str], str | list[str]]]:
    """Each key that names canonical samples, and what it holds."""
    for name, task in config.tasks.items():
        yield ("tasks", name, "prompts"), task.prompts
    for name, adapter in config.adapters.items():
        yield ("adapters", name, "samples"), list(adapter.samples)
    for name, suite in config.suites.items():
        if suite.samples:
            yield ("suites", name, "samples"), suite.samples


def made_samples(config: "Config") -> list[str]:
    """The files of canonical samples that rules make, but those of the flywheel's turns."""
    suites = [name for name, suite in config.suites.items() if suite.lawshift]
    return [
        *_DEMO_SAMPLES,
        *(f"results/data/{name}/{step}.jsonl" for name in config.datasets for step in _DATA_STEPS),
        *(f"results/{kept}/{name}.jsonl" for name in config.datasets for kept in _KEPT),
        "results/selected_data.jsonl",
        *(f"results/sampled/{name}/accepted.jsonl" for name in config.tasks),
        *(f"results/suites/{name}.jsonl" for name in suites),
    ]


def _check_topics(config: "Config", files: Sequence[Path]) -> None:
    """Refuses topics that are learnt from and held out, too, where their files are there."""
    train, held_out = (
        _topics_of(names)
        for names in (config.flywheel.train_topics, config.flywheel.heldout_topics)
    )
    if shared := shared_topics(train, held_out):
        held = list(config.flywheel.heldout_topics)
        raise ConfigError(
            f"{len(shared):,} topics of 'flywheel.heldout_topics' stand in "
            f"'flywheel.train_topics', too, by id or by what is asked first "
            f"({shorten_ids(shared)})",
            where=place_of(("flywheel", "heldout_topics"), held, files),
            expected="no common topic: what was learnt says nothing about what is not",
            hint="take them out of one of the files, or give other ids where only the ids agree",
        )


def _topics_of(names: Sequence[str]) -> list[Topic]:
    paths = [Path(name) for name in names if not name.startswith("results/")]
    found = [path for path in paths if path.is_file()]
    return read_topics(found) if found else []


def _count_word(first: object) -> str:
    return "both" if first else "neither"


def check_names(config: "Config", files: Sequence[Path]) -> None:
    """Looks whether every name that an entry uses is defined, and entries are whole.

    Raises:
        ConfigError: the first that is not.
    """
    _check_values(config.model_dump(), (), files=files)
    if not config.datasets:
        raise ConfigError("no dataset is named", where=place_of(("datasets",), {}, files))
    for name, source in config.datasets.items():
        if (source.path is None) == (source.hub is None):
            raise ConfigError(
                f"'datasets.{name}' has {_count_word(source.path)} of 'path' and 'hub'",
                where=place_of(("datasets", name), {}, files),
                expected="exactly one of them",
            )
    for name, model in config.models.items():
        if (model.path is None) == (model.build is None):
            raise ConfigError(
                f"'models.{name}' has {_count_word(model.path)} of 'path' and 'build'",
                where=place_of(("models", name), {}, files),
                expected="path: a hub id or folder; or build: base",
            )
    _check_adapters(config, files)
    _check_suites(config, files)
    for name, task in config.tasks.items():
        _check_model(task.model, ("tasks", name, "model"), config=config, files=files)
        for what, expected in engine_problems(f"tasks.{name}.", task):
            raise ConfigError(
                what,
                where=place_of(("tasks", name, "precision"), task.precision, files),
                expected=expected,
            )
        for what, expected in drawing_problems(
            f"tasks.{name}.", num_samples=task.num_samples, temperature=task.temperature
        ):
            place = place_of(("tasks", name, "temperature"), task.temperature, files)
            raise ConfigError(what, where=place, expected=expected)
    _check_graders(config, files)
    _check_focus(config, files)
    for section, holder in (("gate", config.gate), ("flywheel", config.flywheel)):
        is_given = "model" in holder.model_fields_set
        _check_model(
            holder.model, (section, "model"), config=config, files=files, is_given=is_given
        )
    _check_judges(config, files)


def _check_values(value: Any, path: tuple[str | int, ...], *, files: Sequence[Path]) -> None:
    """Refuses texts that a script's command line would take for flags."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check_values(each, (*path, key), files=files)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            _check_values(each, (*path, number), files=files)
    elif isinstance(value, str) and _FLAG.match(value):
        raise ConfigError(
            f"'{'.'.join(map(str, path))}' is '{value}', which is taken for a flag",
            where=place_of(path, value, files),
            hint="write ./ in front of a path, or (?:) in front of a pattern",
        )


def _check_model(
    model: str,
    path: tuple[str, ...],
    *,
    config: "Config",
    files: Sequence[Path],
    is_given: bool = True,
) -> None:
    """Refuses a model that ``models`` does not define; ``path`` is the key that names it."""
    if model not in config.models:
        raise ConfigError(
            f"'{'.'.join(path)}' is '{model}', which 'models' does not define",
            where=place_of(path if is_given else (), model, files),
            hint=nearest(model, list(config.models)),
        )


def _check_adapters(config: "Config", files: Sequence[Path]) -> None:
    for name, adapter in config.adapters.items():
        _check_model(adapter.model, ("adapters", name, "model"), config=config, files=files)
        if name in config.models:
            raise ConfigError(
                f"'{name}' is the name of a model and of an adapter",
                where=place_of(("adapters", name), {}, files),
                expected="names that tell them apart, since both can be evaluated",
            )
        if _TURN.fullmatch(name):
            raise ConfigError(
                f"'adapters.{name}' has the name of a turn's adapter",
                where=place_of(("adapters", name), {}, files),
                expected="another name: report and tracking tell the two by it",
            )
        if not adapter.samples:
            raise ConfigError(
                f"'adapters.{name}.samples' is empty",
                where=place_of(("adapters", name, "samples"), [], files),
                expected="at least one JSONL file",
            )


def _check_graders(config: "Config", files: Sequence[Path]) -> None:
    """Makes each grader once: their steps would do so only when the answers are there."""
    for section, entries in (("tasks", config.tasks), ("suites", config.suites)):
        for name, entry in entries.items():
            try:
                make_grader(narrow(entry, GraderSettings))
            except ConfigError as error:
                raise _said_of(error, (section, name), files) from None


def _check_focus(config: "Config", files: Sequence[Path]) -> None:
    """Compiles each phrase of adapters, also of those that the flywheel trains."""
    entries = {("adapters", name): adapter for name, adapter in config.adapters.items()}
    for path, settings in {**entries, ("flywheel", "adapter"): config.flywheel.adapter}.items():
        try:
            compile_focus(settings.focus)
        except ConfigError as error:
            raise _said_of(error, path, files) from None


def _said_of(error: ConfigError, path: tuple[str, ...], files: Sequence[Path]) -> ConfigError:
    """The error of a step's own check, with the entry of the configuration that it is about."""
    return ConfigError(
        f"'{'.'.join(path)}': {error.what}",
        where=place_of(path, {}, files),
        expected=error.expected,
        hint=error.hint,
    )


def _check_judges(config: "Config", files: Sequence[Path]) -> None:
    """Who chooses what is learnt must not also say whether it helped, unless that is wanted."""
    judge, evaluator = config.llm.judge, config.llm.evaluator
    is_same = (judge.base_url, judge.model) == (evaluator.base_url, evaluator.model)
    if is_same and not config.flywheel.allow_same_judge:
        raise ConfigError(
            f"'llm.judge' and 'llm.evaluator' are the same model, '{judge.model}'",
            where=place_of(("llm",), {}, files),
            expected="two models: one that learns to please its judge would seem to have improved",
            hint="name another evaluator, or say flywheel: {allow_same_judge: true}",
        )
    name = config.flywheel.model
    path = config.models[name].path
    # A model that is built here has learnt from none of the others.
    shared = shared_families(evaluator.model, path) if path else []
    if shared and not config.flywheel.allow_same_family:
        raise ConfigError(
            f"'llm.evaluator' ({evaluator.model}) and the model '{name}' "
            f"({path}) are both of the family {', '.join(shared)}",
            where=place_of(("llm",), {}, files),
            expected="an evaluator of another family: judges prefer the answers of their own",
            hint="name another evaluator, or say flywheel: {allow_same_family: true}",
        )


def _check_suites(config: "Config", files: Sequence[Path]) -> None:
    for name, suite in config.suites.items():
        problems = [*suite_problems(name, suite), *engine_problems(f"suites.{name}.", suite)]
        for what, expected in problems:
            place = place_of(("suites", name), {}, files)
            raise ConfigError(what, where=place, expected=expected)
    for section, names in (("models", config.models), ("adapters", config.adapters)):
        for name in names:
            if "_vs_" in name:
                raise ConfigError(
                    f"the name '{name}' in '{section}' holds '_vs_'",
                    where=place_of((section, name), {}, files),
                    expected="another name: a comparison's folder is results/comparison/{a}_vs_{b}",
                )

"""config.yaml: parsed once into frozen models, checked whole, and handed to rules as flags.

Imports neither torch nor datasets, so that a dry-run stays fast.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from sluice.errors import ConfigError
from sluice.settings.base import Seeded, Settings, narrow, to_flags
from sluice.settings.base_loss import BaseLossSettings, EvaluateBaseLoss
from sluice.settings.base_model import BaseSettings, TrainBaseModel
from sluice.settings.data import (
    ConvertDataset,
    Dataset,
    DataSettings,
    DropOverlap,
    MakeDemoData,
    SplitDataset,
)
from sluice.settings.evaluation import (
    CompareModels,
    EvaluateLawshift,
    GenerateAnswers,
    GradeAnswers,
    Suite,
    suite_problems,
)
from sluice.settings.flywheel import (
    BootstrapModel,
    FlywheelSettings,
    JudgeResponses,
    MakeDemoTopics,
    SimulateDialogues,
)
from sluice.settings.gate import (
    CollectRouterData,
    CompareCheckpoint,
    ConvertCheckpoint,
    GateSettings,
    WarmUpGate,
)
from sluice.settings.llm import LlmSettings, find_keys, refuse_key
from sluice.settings.sampling import SampleResponses, Task
from sluice.settings.selection import ScoreSamples, SelectionSettings, SelectRandom, SelectSamples
from sluice.settings.tokenizer import EvaluateTokenizer, TokenizerSettings, TrainTokenizer
from sluice.settings.training import (
    Adapter,
    FineTune,
    FineTuneSettings,
    MergeAdapter,
    TrainingSettings,
)
from sluice.validation import describe_validation_error, nearest

# Datasets, and what cannot stand without those that it names.
_DATA_SECTIONS = ("datasets", "tasks", "adapters", "suites")
# Keys that name text files and folders.
_TEXT_KEYS = (
    *(("tokenizer", key) for key in ("text", "unseen_text", "domains")),
    *(("base_loss", key) for key in ("train_text", "heldout_text", "prompts")),
)
_COMMAND_LINE = "the command line (--config)"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class ModelSource(Settings):
    """One model; the entries of ``models:`` in config.yaml. Give ``path`` or ``build``."""

    path: str | None = None
    """Hub id or folder."""
    revision: str | None = None
    """Commit, tag or branch of the hub model."""
    build: str | None = None
    """``base``: the built-in model, trained from scratch with the settings of ``base:``."""
    trust_remote_code: bool = False
    """Run Python code that the model's repository ships, in fine-tuning and merging; no other step
    ever does. Off unless you have read that code."""


class Config(Settings):
    """The whole of config.yaml."""

    seed: int = 42
    """The one seed; every random choice derives its own from it by name."""
    datasets: dict[Name, Dataset]
    """The datasets to score and select from."""
    models: dict[Name, ModelSource]
    """Every model, named once."""
    adapters: dict[Name, Adapter] = Field(default_factory=dict)
    """Every fine-tuning, named once."""
    data: DataSettings = DataSettings()
    """From any source to clean, split, canonical samples."""
    tokenizer: TokenizerSettings = TokenizerSettings()
    """The built-in model's tokenizer."""
    base: BaseSettings = BaseSettings()
    """The built-in model."""
    base_loss: BaseLossSettings = BaseLossSettings()
    """Bits per byte and samples of models."""
    gate: GateSettings = GateSettings()
    """Quality gates."""
    selection: SelectionSettings = SelectionSettings()
    """Scores, and what is kept."""
    suites: dict[Name, Suite] = Field(default_factory=dict)
    """What models and adapters are evaluated on."""
    tasks: dict[Name, Task] = Field(default_factory=dict)
    """Rejection sampling: a model's own completions of verifiable prompts."""
    training: TrainingSettings = TrainingSettings()
    """What holds for every adapter."""
    llm: LlmSettings = LlmSettings()
    """The servers that play the user and judge, in the flywheel."""
    flywheel: FlywheelSettings = FlywheelSettings()
    """The flywheel: serve, simulate, judge."""


# Rule -> the settings its script takes. Each field is looked up in the sections by its name, or in
# the one section of OWN_SECTIONS.
RULE_SETTINGS: dict[str, type[Settings]] = {
    "make_demo_data": MakeDemoData,
    "convert_dataset": ConvertDataset,
    "drop_overlap": DropOverlap,
    "split_dataset": SplitDataset,
    "train_tokenizer": TrainTokenizer,
    "evaluate_tokenizer": EvaluateTokenizer,
    "train_base_model": TrainBaseModel,
    "evaluate_base_loss": EvaluateBaseLoss,
    "convert_checkpoint": ConvertCheckpoint,
    "compare_checkpoint": CompareCheckpoint,
    "warm_up_gate": WarmUpGate,
    "collect_router_data": CollectRouterData,
    "score_samples": ScoreSamples,
    "select_samples": SelectSamples,
    "select_random": SelectRandom,
    "sample_responses": SampleResponses,
    "merge_adapter": MergeAdapter,
    "compare_models": CompareModels,
    "evaluate_lawshift": EvaluateLawshift,
    "write_provenance": Seeded,
    "make_demo_topics": MakeDemoTopics,
    "bootstrap_model": BootstrapModel,
    "simulate_dialogues": SimulateDialogues,
    "judge_responses": JudgeResponses,
}
# Rules whose settings all stand in one section, where their names need not differ from other
# sections' names.
OWN_SECTIONS: dict[str, str] = {
    "train_tokenizer": "tokenizer",
    "evaluate_tokenizer": "tokenizer",
    "evaluate_base_loss": "base_loss",
}
# Section of named entries -> the rules that read an entry, and the settings their scripts take.
ENTRY_SETTINGS: dict[str, dict[str, type[Settings]]] = {
    "tasks": {"sample_responses": Task},
    "adapters": {"fine_tune": FineTune},
    "suites": {"generate_answers": GenerateAnswers, "grade_answers": GradeAnswers},
}


def load_config(values: Mapping[str, Any], *, files: Sequence[Path] = ()) -> Config:
    """Checks the merged values of config.yaml and of every ``--configfile`` and ``--config``.

    A file that names ``datasets`` names all of them: neither the built-in ones nor the tasks,
    adapters, suites and evaluation sets that build on them linger beside them.

    Args:
        values: what Snakemake merged; ``--config`` makes strings of nested values, which are read
            as numbers where a number is meant.
        files: where they came from, later ones winning, so that an error can name the file.
    Raises:
        ConfigError: an unknown key, a wrong type, a value out of range, a name that no section
            defines, or an API key among the values.
    """
    for path in find_keys(values):
        raise refuse_key(path, where=_place_of(path, {}, files))
    try:
        config = Config.model_validate(_with_own_data_only(values, files))
    except ValidationError as error:
        raise describe_validation_error(
            error, model=Config, where=lambda path, value: _place_of(path, value, files)
        ) from None
    _check_names(config, files)
    return config


def load_config_files(files: Sequence[Path]) -> Config:
    """The configuration of some files without Snakemake, later ones winning key by key as there.

    Raises:
        ConfigError: as `load_config`.
    """
    values: dict[str, Any] = {}
    for file in files:
        _merge(values, _read_yaml(file))
    return load_config(values, files=files)


def _merge(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = dict(value) if isinstance(value, Mapping) else value


def check_local_sources(config: Config, *, files: Sequence[Path] = ()) -> None:
    """Looks for the files that datasets and models name, before anything runs.

    Paths below ``results/`` are made by rules and are not looked for.

    Raises:
        ConfigError: a local path does not exist, with the nearest name that does.
    """
    for name, dataset in config.datasets.items():
        for key in ("path", "articles", "truth"):
            path = getattr(dataset, key)
            if path and not path.startswith("results/") and not Path(path).exists():
                folder = Path(path).parent
                siblings = [each.name for each in folder.iterdir()] if folder.is_dir() else []
                raise ConfigError(
                    f"'datasets.{name}.{key}' is '{path}', which does not exist",
                    where=_place_of(("datasets", name, key), path, files),
                    hint=nearest(Path(path).name, siblings[:200]),
                )
    for name, suite in config.suites.items():
        for key in ("samples", "lawshift"):
            path = getattr(suite, key)
            if path and not path.startswith("results/") and not Path(path).exists():
                raise ConfigError(
                    f"'suites.{name}.{key}' is '{path}', which does not exist",
                    where=_place_of(("suites", name, key), path, files),
                )
    _check_texts(config, files)


def _check_texts(config: Config, files: Sequence[Path]) -> None:
    for section, key in _TEXT_KEYS:
        value = getattr(getattr(config, section), key)
        for path in (value,) if isinstance(value, str) else value:
            if not path.startswith("results/") and not Path(path).exists():
                held = value if isinstance(value, str) else list(value)
                folder = Path(path).parent
                siblings = [each.name for each in folder.iterdir()] if folder.is_dir() else []
                raise ConfigError(
                    f"'{section}.{key}' names '{path}', which does not exist",
                    where=_place_of((section, key), held, files),
                    hint=nearest(Path(path).name, siblings[:200]),
                )


def settings_for(rule: str, config: Config) -> Settings:
    """The settings of one rule's script, gathered from the sections by field name."""
    model = RULE_SETTINGS[rule]
    section = OWN_SECTIONS.get(rule)
    values = {name: _find_value(config, name, section) for name in model.model_fields}
    return model.model_validate(values)


def flags_for(rule: str, config: Config) -> list[str]:
    """The command-line flags of one rule: only the settings that differ from their defaults."""
    return to_flags(settings_for(rule, config))


def suite_settings(rule: str, name: str, config: Config) -> Settings:
    """The settings of one rule's script for one suite."""
    model = ENTRY_SETTINGS["suites"][rule]
    values = {**dict(config.suites[name]), "seed": config.seed}
    return model.model_validate({field: values[field] for field in model.model_fields})


def adapter_settings(name: str, config: Config) -> FineTune:
    """The settings of one adapter's script; its seed is the configuration's unless it has one."""
    adapter = config.adapters[name]
    seed = config.seed if adapter.seed is None else adapter.seed
    return FineTune(**narrow(adapter, FineTuneSettings).model_dump(), seed=seed)


def _find_value(config: Config, name: str, section: str | None) -> Any:
    if name == "seed":
        return config.seed
    if section is not None:
        return getattr(getattr(config, section), name)
    own = set(OWN_SECTIONS.values())
    sections = [each for key, each in config if isinstance(each, Settings) and key not in own]
    holders = [section for section in sections if name in type(section).model_fields]
    assert len(holders) == 1, f"{len(holders)} sections hold '{name}'"
    return getattr(holders[0], name)


def _with_own_data_only(values: Mapping[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """Undoes Snakemake's merge for what says which data: the last file that names datasets counts.

    Of ``datasets`` and of the sections that build on them only its own entries stay, and of
    ``data.evaluation_texts`` only its own or the command line's.
    """
    naming = [_read_yaml(file) for file in files]
    naming = [content for content in naming if content.get("datasets")]
    if len(naming) < 2 or not isinstance(values.get("datasets"), Mapping):
        return dict(values)
    *earlier, last = naming
    own = dict(values)
    for section in _DATA_SECTIONS:
        gone = {name for content in earlier for name in content.get(section) or ()}
        gone -= set(last.get(section) or ())
        entries = own.get(section)
        if isinstance(entries, Mapping):
            own[section] = {name: entry for name, entry in entries.items() if name not in gone}
    data = dict(values.get("data") or {})
    inherited = [_look_up(content, ("data", "evaluation_texts")) for content in earlier]
    if (True, data.get("evaluation_texts")) in inherited:
        del data["evaluation_texts"]
    return {**own, "data": data}


def _read_yaml(file: Path) -> dict[str, Any]:
    values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    return values if isinstance(values, dict) else {}


def _count_word(first: object) -> str:
    return "both" if first else "neither"


def _check_names(config: Config, files: Sequence[Path]) -> None:
    if not config.datasets:
        raise ConfigError("no dataset is named", where=_place_of(("datasets",), {}, files))
    for name, source in config.datasets.items():
        if (source.path is None) == (source.hub is None):
            raise ConfigError(
                f"'datasets.{name}' has {_count_word(source.path)} of 'path' and 'hub'",
                where=_place_of(("datasets", name), {}, files),
                expected="exactly one of them",
            )
    for name, model in config.models.items():
        if (model.path is None) == (model.build is None):
            raise ConfigError(
                f"'models.{name}' has {_count_word(model.path)} of 'path' and 'build'",
                where=_place_of(("models", name), {}, files),
                expected="path: a hub id or folder; or build: base",
            )
    _check_adapters(config, files)
    _check_suites(config, files)
    for name, task in config.tasks.items():
        _check_model(task.model, ("tasks", name, "model"), config=config, files=files)
    for section, holder in (("gate", config.gate), ("flywheel", config.flywheel)):
        is_given = "model" in holder.model_fields_set
        _check_model(
            holder.model, (section, "model"), config=config, files=files, is_given=is_given
        )
    _check_judges(config, files)


def _check_model(
    model: str,
    path: tuple[str, ...],
    *,
    config: Config,
    files: Sequence[Path],
    is_given: bool = True,
) -> None:
    """Refuses a model that ``models`` does not define; ``path`` is the key that names it."""
    if model not in config.models:
        raise ConfigError(
            f"'{'.'.join(path)}' is '{model}', which 'models' does not define",
            where=_place_of(path if is_given else (), model, files),
            hint=nearest(model, list(config.models)),
        )


def _check_adapters(config: Config, files: Sequence[Path]) -> None:
    for name, adapter in config.adapters.items():
        _check_model(adapter.model, ("adapters", name, "model"), config=config, files=files)
        if name in config.models:
            raise ConfigError(
                f"'{name}' is the name of a model and of an adapter",
                where=_place_of(("adapters", name), {}, files),
                expected="names that tell them apart, since both can be evaluated",
            )
        if not adapter.samples:
            raise ConfigError(
                f"'adapters.{name}.samples' is empty",
                where=_place_of(("adapters", name, "samples"), [], files),
                expected="at least one JSONL file",
            )


def _check_judges(config: Config, files: Sequence[Path]) -> None:
    """Who chooses what is learnt must not also say whether it helped, unless that is wanted."""
    judge, evaluator = config.llm.judge, config.llm.evaluator
    is_same = (judge.base_url, judge.model) == (evaluator.base_url, evaluator.model)
    if is_same and not config.flywheel.allow_same_judge:
        raise ConfigError(
            f"'llm.judge' and 'llm.evaluator' are the same model, '{judge.model}'",
            where=_place_of(("llm",), {}, files),
            expected="two models: one that learns to please its judge would seem to have improved",
            hint="name another evaluator, or say flywheel: {allow_same_judge: true}",
        )


def _check_suites(config: Config, files: Sequence[Path]) -> None:
    for name, suite in config.suites.items():
        for what, expected in suite_problems(name, suite):
            place = _place_of(("suites", name), {}, files)
            raise ConfigError(what, where=place, expected=expected)
    for section, names in (("models", config.models), ("adapters", config.adapters)):
        for name in names:
            if "_vs_" in name:
                raise ConfigError(
                    f"the name '{name}' in '{section}' holds '_vs_'",
                    where=_place_of((section, name), {}, files),
                    expected="another name: a comparison's folder is results/comparison/{a}_vs_{b}",
                )


def _place_of(path: tuple[str | int, ...], value: Any, files: Sequence[Path]) -> str:
    """The last file that gives a key this value, or else the command line.

    Later files win and ``--config`` wins over all of them, so a key that the last file holds with
    another value was overridden. Of a mapping, which Snakemake merges key by key, the last file
    that holds a part of it is named.
    """
    if not files:
        return "the configuration"
    for file in reversed(files):
        is_held, held = _look_up(_read_yaml(file), path)
        if is_held and (not path or isinstance(value, Mapping) or held == value):
            return str(file)
        if is_held:
            break
    return _COMMAND_LINE


def _look_up(values: Any, path: tuple[str | int, ...]) -> tuple[bool, Any]:
    """Whether there is a value at the path, and the value."""
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False, None
    return True, values

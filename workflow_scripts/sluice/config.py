"""config.yaml: parsed once into frozen models, checked whole, and handed to rules as flags.

Imports neither torch nor datasets, so that a dry-run stays fast.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from sluice.config_checks import check_names
from sluice.config_files import merge, place_of, read_yaml, with_own_data_only
from sluice.errors import ConfigError
from sluice.files import holds_too_much
from sluice.settings.base import Seeded, Settings, Tracking, narrow, to_flags, untracked_names
from sluice.settings.base_loss import BaseLossSettings, EvaluateBaseLoss
from sluice.settings.base_model import BaseSettings, TokenizeCorpus, TrainBaseModel
from sluice.settings.calibration import CalibrateJudge
from sluice.settings.core_metric import CoreMetricSettings, EvaluateCore
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
)
from sluice.settings.flywheel import (
    BootstrapModel,
    FlywheelSettings,
    JudgeResponses,
    MakeDemoTopics,
    SimulateDialogues,
)
from sluice.settings.flywheel_turn import PrepareSftData, SummarizeTurn
from sluice.settings.gate import (
    CollectRouterData,
    CompareCheckpoint,
    ConvertCheckpoint,
    GateSettings,
    WarmUpGate,
)
from sluice.settings.llm import Endpoint, LlmSettings, find_keys, refuse_key
from sluice.settings.report import ReportSettings, WriteReport
from sluice.settings.sampling import SampleResponses, Task
from sluice.settings.selection import ScoreSamples, SelectionSettings, SelectRandom, SelectSamples
from sluice.settings.tokenizer import EvaluateTokenizer, TokenizerSettings, TrainTokenizer
from sluice.settings.tracking import TrackingSettings, TrackResults
from sluice.settings.training import (
    Adapter,
    FineTune,
    FineTuneSettings,
    MergeAdapter,
    TrainingSettings,
)
from sluice.validation import describe_validation_error

# Names become folders and parts of file names, which may have 255 bytes.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


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
    """Models that are built here, on the built-in data or on text of your own."""
    base_loss: BaseLossSettings = BaseLossSettings()
    """Bits per byte and samples of models."""
    core: CoreMetricSettings = CoreMetricSettings()
    """The CORE metric of base models."""
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
    """The flywheel: serve, simulate, judge, keep, train, compare."""
    report: ReportSettings = ReportSettings()
    """The report."""
    tracking: TrackingSettings = TrackingSettings()
    """Experiment tracking with MLflow, beside the files."""


# Rule -> the settings its script takes. Each field is looked up in the sections by its name, or in
# the one section of OWN_SECTIONS.
RULE_SETTINGS: dict[str, type[Settings]] = {
    "make_demo_data": MakeDemoData,
    "convert_dataset": ConvertDataset,
    "drop_overlap": DropOverlap,
    "split_dataset": SplitDataset,
    "train_tokenizer": TrainTokenizer,
    "evaluate_tokenizer": EvaluateTokenizer,
    "tokenize_corpus": TokenizeCorpus,
    "train_base_model": TrainBaseModel,
    "evaluate_base_loss": EvaluateBaseLoss,
    "evaluate_core": EvaluateCore,
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
    "make_demo_topics": MakeDemoTopics,
    "bootstrap_model": BootstrapModel,
    "simulate_dialogues": SimulateDialogues,
    "judge_responses": JudgeResponses,
    "prepare_sft_data": PrepareSftData,
    "summarize_turn": SummarizeTurn,
    "calibrate_judge": CalibrateJudge,
    "write_provenance": Seeded,
    "write_report": WriteReport,
    "track_results": TrackResults,
}
# Rules whose settings all stand in one section, where their names need not differ from other
# sections' names.
OWN_SECTIONS: dict[str, str] = {
    "train_tokenizer": "tokenizer",
    "evaluate_tokenizer": "tokenizer",
    "tokenize_corpus": "base",
    "train_base_model": "base",
    "evaluate_base_loss": "base_loss",
}
# Section of named entries -> the rules that read an entry, and the settings their scripts take.
ENTRY_SETTINGS: dict[str, dict[str, type[Settings]]] = {
    "tasks": {"sample_responses": Task},
    "adapters": {"fine_tune": FineTune},
    "suites": {"generate_answers": GenerateAnswers, "grade_answers": GradeAnswers},
}
# Section -> key that holds settings of its own -> the rules that read these.
NESTED_RULES: dict[str, dict[str, tuple[str, ...]]] = {
    "llm": {
        "simulator": ("simulate_dialogues",),
        "judge": ("judge_responses", "calibrate_judge"),
        "evaluator": ("judge_responses", "calibrate_judge"),
    },
    "flywheel": {"adapter": ("fine_tune_turn",)},
}
# The settings of all rules together whose values make nothing stale.
UNTRACKED_NAMES = untracked_names(Endpoint).union(
    *(
        untracked_names(model)
        for rules in (RULE_SETTINGS, *ENTRY_SETTINGS.values())
        for model in rules.values()
    )
)


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
    if holds_too_much(values):
        raise ConfigError(
            "the configuration holds over a million values, or one that holds itself",
            hint="take out the YAML references (&name, *name) that make so many of so few",
        )
    for path in find_keys(values):
        raise refuse_key(path, where=place_of(path, {}, files))
    try:
        config = Config.model_validate(with_own_data_only(values, files))
    except ValidationError as error:
        raise describe_validation_error(
            error, model=Config, where=lambda path, value: place_of(path, value, files)
        ) from None
    check_names(config, files)
    return config


def load_config_files(files: Sequence[Path]) -> Config:
    """The configuration of some files without Snakemake, later ones winning key by key as there.

    Raises:
        ConfigError: as `load_config`.
    """
    values: dict[str, Any] = {}
    for file in files:
        merge(values, read_yaml(file))
    return load_config(values, files=files)


def settings_for(rule: str, config: Config) -> Settings:
    """The settings of one rule's script, gathered from the sections by field name."""
    model = RULE_SETTINGS[rule]
    section = OWN_SECTIONS.get(rule)
    values = {name: _find_value(config, name, section) for name in model.model_fields}
    return model.model_validate(values)


def flags_for(rule: str, config: Config, which: Tracking = "all") -> list[str]:
    """The command-line flags of one rule: only the settings that differ from their defaults."""
    return to_flags(settings_for(rule, config), which)


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


def turn_adapter_settings(config: Config) -> FineTune:
    """How each turn of the flywheel is fine-tuned; the seed is the configuration's by default."""
    adapter = config.flywheel.adapter
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

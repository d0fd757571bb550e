"""config.yaml, and the flags that come of it."""

import subprocess
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import tyro
import yaml
from pydantic import BaseModel
from support import ROOT

from sluice.config import (
    ENTRY_SETTINGS,
    RULE_SETTINGS,
    UNTRACKED_NAMES,
    Config,
    flags_for,
    load_config,
    settings_for,
)
from sluice.config_checks import check_local_sources
from sluice.errors import ConfigError
from sluice.settings.base import dump_tracked, to_flags, untracked_names

BUILT_IN = yaml.safe_load((ROOT / "config.yaml").read_text())
MINIMAL = {"datasets": {"d": {"path": "d.jsonl"}}, "models": {"base": {"build": "base"}}}


def _load(files, values=None, folder=None):
    """Loads what Snakemake would merge of some files, and of values given by --config."""
    paths = []
    merged: dict[str, Any] = {}
    for number, content in enumerate(files):
        path = folder / f"file{number}.yaml"
        path.write_text(yaml.safe_dump(content))
        paths.append(path)
        _merge(merged, content)
    _merge(merged, values or {})
    return load_config(merged, files=paths)


def _merge(target, values):
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = yaml.safe_load(yaml.safe_dump(value))


def test_built_in_configuration_is_right():
    config = load_config(BUILT_IN, files=[ROOT / "config.yaml"])
    assert config.seed == 42
    assert "base" in config.models


@pytest.mark.parametrize(
    ("values", "what", "hint"),
    [
        ({"selcetion": {}}, "unknown key 'selcetion'", "did you mean 'selection'?"),
        ({"data": {"test_ration": 0.1}}, "unknown key 'data.test_ration'", "'test_ratio'"),
        ({"datasets": {"d": {"pth": "x"}}}, "unknown key 'datasets.d.pth'", "'path'"),
        ({"models": {"m": {"biuld": "x"}}}, "unknown key 'models.m.biuld'", "'build'"),
        ({"data": {"test_ratio": 1.5}}, "'data.test_ratio' is 1.5", ""),
        ({"data": {"num_permutations": "many"}}, "'data.num_permutations' is 'many'", ""),
        ({"data": 3}, "'data' is 3", ""),
        ({"datasets": {}}, "no dataset is named", ""),
        ({"datasets": {"d": {"path": "x", "hub": "y"}}}, "'datasets.d' has both of", ""),
        ({"models": {"m": {}}}, "'models.m' has neither of 'path' and 'build'", ""),
        ({"gate": {"model": "bass"}}, "'gate.model' is 'bass'", "did you mean 'base'?"),
        (
            {"tasks": {"t": {"model": "bass", "prompts": "p.jsonl"}}},
            "'tasks.t.model' is 'bass'",
            "did you mean 'base'?",
        ),
        ({"tasks": {"t": {"model": "base"}}}, "key 'tasks.t.prompts' is missing", ""),
    ],
)
def test_mistake_in_a_file_names_key_file_and_nearest_known_key(tmp_path, values, what, hint):
    with pytest.raises(ConfigError) as caught:
        _load([{**MINIMAL, **values}], folder=tmp_path)
    assert what in caught.value.what
    assert hint in (caught.value.hint or "")
    assert caught.value.where == str(tmp_path / "file0.yaml")


def test_mistake_names_the_file_it_stands_in_not_the_last_one(tmp_path):
    with pytest.raises(ConfigError) as caught:
        _load([{**MINIMAL, "data": {"test_ratio": 2}}, {"seed": 3}], folder=tmp_path)
    assert caught.value.where == str(tmp_path / "file0.yaml")


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ({"data": {"test_ratio": "7"}}, "'data.test_ratio' is '7'"),
        ({"data": {"test_ration": "0.1"}}, "unknown key 'data.test_ration'"),
        ({"gate": {"model": "large"}}, "'gate.model' is 'large'"),
        ({"datasets": {"e": {"subset": "x"}}}, "'datasets.e' has neither of"),
    ],
)
def test_mistake_of_the_command_line_is_not_laid_to_a_file(tmp_path, override, what):
    file = {**MINIMAL, "data": {"test_ratio": 0.3}, "gate": {"model": "base"}}
    with pytest.raises(ConfigError) as caught:
        _load([file], override, folder=tmp_path)
    assert what in caught.value.what
    assert caught.value.where == "the command line (--config)"


def test_default_that_fits_no_longer_is_laid_to_the_file(tmp_path):
    file = {"datasets": MINIMAL["datasets"], "models": {"large": {"path": "x"}}}
    with pytest.raises(ConfigError, match=r"'gate\.model' is 'base'") as caught:
        _load([file], folder=tmp_path)
    assert caught.value.where == str(tmp_path / "file0.yaml")


def test_missing_section_is_laid_to_the_file(tmp_path):
    with pytest.raises(ConfigError, match="key 'datasets' is missing") as caught:
        _load([{"models": MINIMAL["models"]}], folder=tmp_path)
    assert caught.value.where == str(tmp_path / "file0.yaml")


def test_strings_of_the_command_line_are_read_as_what_is_meant():
    values = {
        **MINIMAL,
        "seed": "7",
        "data": {"test_ratio": "0.5", "num_permutations": "64", "evaluation_texts": ["a", "b"]},
    }
    config = load_config(values)
    assert (config.seed, config.data.test_ratio, config.data.num_permutations) == (7, 0.5, 64)
    assert config.data.evaluation_texts == ("a", "b")


def test_datasets_of_a_later_file_replace_the_earlier_ones(tmp_path):
    config = _load([MINIMAL, {"datasets": {"mine": {"path": "x"}}}], folder=tmp_path)
    assert list(config.datasets) == ["mine"]


def test_datasets_of_a_later_file_bring_no_tasks_adapters_and_suites_along(tmp_path):
    built_in = yaml.safe_load((ROOT / "config.yaml").read_text())
    own = {"datasets": {"mine": {"path": "x"}}, "suites": {"mine": {"samples": "y"}}}
    config = _load([built_in, own], folder=tmp_path)
    assert (list(config.tasks), list(config.adapters), list(config.suites)) == ([], [], ["mine"])
    more = {"adapters": {"more": {"model": "base", "samples": ["z"]}}}
    config = _load([built_in, more], folder=tmp_path)
    assert set(config.adapters) == {"rft", "more"}


def test_datasets_of_a_later_file_bring_no_evaluation_sets_along(tmp_path):
    first = {**MINIMAL, "data": {"evaluation_texts": ["heldout.jsonl"], "test_ratio": 0.3}}
    second = {"datasets": {"mine": {"path": "x"}}}
    config = _load([first, second], folder=tmp_path)
    assert config.data.evaluation_texts == ()
    assert config.data.test_ratio == 0.3
    second["data"] = {"evaluation_texts": ["mine_heldout.jsonl"]}
    config = _load([first, second], folder=tmp_path)
    assert config.data.evaluation_texts == ("mine_heldout.jsonl",)


def test_steps_that_suit_the_built_in_model_are_not_inherited_by_ones_own(tmp_path):
    first = {**MINIMAL, "flywheel": {"temperature": 0.7, "adapter": {"max_steps": 60, "r": 16}}}
    second = {"datasets": {"mine": {"path": "m.jsonl"}}}
    second["flywheel"] = {"max_new_tokens": 99, "adapter": {"r": 16, "num_epochs": 2}}
    config = _load([first, second], folder=tmp_path)
    adapter = config.flywheel.adapter
    assert (config.flywheel.max_new_tokens, config.flywheel.temperature) == (99, 0.0)
    assert (adapter.r, adapter.num_epochs, adapter.max_steps) == (16, 2, None)
    assert (adapter.method, adapter.learn_from) == ("qlora", "last")


def test_an_adapter_cannot_be_called_as_a_turns_adapter_is():
    adapter = {"model": "base", "samples": ["s.jsonl"]}
    assert load_config({**MINIMAL, "adapters": {"turn_around": adapter}}).adapters
    with pytest.raises(ConfigError, match=r"'adapters\.turn_1' has the name of a turn's adapter"):
        load_config({**MINIMAL, "adapters": {"turn_1": adapter}})


def test_an_evaluator_of_the_models_family_is_refused_unless_allowed(tmp_path):
    mine = {
        "datasets": {"d": {"path": "d.jsonl"}},
        "models": {"base": {"build": "base"}, "qwen": {"path": "Qwen/Qwen2.5-3B-Instruct"}},
        "llm": {"evaluator": {"base_url": "https://x.example/v1", "model": "qwen-max"}},
        "flywheel": {"model": "qwen"},
    }
    with pytest.raises(ConfigError, match="both of the family qwen") as caught:
        _load([mine], folder=tmp_path)
    assert "allow_same_family: true" in caught.value.hint
    mine["flywheel"] = {"model": "qwen", "allow_same_family": True}
    assert _load([mine], folder=tmp_path).flywheel.allow_same_family


def test_a_built_model_is_of_no_family_whatever_lies_in_the_folder(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}')
    monkeypatch.chdir(tmp_path)
    evaluator = {"base_url": "https://x.example/v1", "model": "qwen-max"}
    assert load_config({**MINIMAL, "llm": {"evaluator": evaluator}}).flywheel.model == "base"


def test_an_evaluator_of_the_family_that_the_models_folder_tells_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_text('{"model_type": "qwen3"}')
    mine = {
        "datasets": {"d": {"path": "d.jsonl"}},
        "models": {"base": {"build": "base"}, "own": {"path": str(tmp_path / "mine")}},
        "llm": {"evaluator": {"base_url": "https://x.example/v1", "model": "qwen-max"}},
        "flywheel": {"model": "own"},
    }
    with pytest.raises(ConfigError, match="both of the family qwen"):
        _load([mine], folder=tmp_path)


def test_configuration_is_frozen():
    config = load_config(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


def _bound(metadata, *names):
    """The lower or upper bound of a field, or None."""
    found = [getattr(each, name) for each in metadata for name in names if hasattr(each, name)]
    return found[0] if found else None


def _other(annotation, metadata, default):
    """A legal value that differs from the default."""
    if get_origin(annotation) is Annotated:
        inner, field = get_args(annotation)
        return _other(inner, field.metadata, default)
    if get_origin(annotation) in (Union, types.UnionType):
        inner = next(arg for arg in get_args(annotation) if arg is not type(None))
        return _other(inner, metadata, default)
    if get_origin(annotation) is Literal:
        return next(choice for choice in get_args(annotation) if choice != default)
    if get_origin(annotation) is tuple:
        first, *_ = get_args(annotation)
        values = get_args(first) if get_origin(first) is Literal else ("a b", "c")
        return tuple(value for value in values if (value,) != default)[:2]
    if annotation is bool:
        return not default
    if annotation is str:
        return "it's {a} new --value"
    if annotation is Path:
        return Path("a b")
    low = _bound(metadata, "ge", "gt") or 0
    high = _bound(metadata, "le", "lt")
    if annotation is int:
        return low + 1 if default != low + 1 else low + 2
    high = low + 2 if high is None else high
    return low + (high - low) * (0.375 if default != low + (high - low) * 0.375 else 0.625)


def _all_other(model):
    """A legal value that is not the default, for every field."""
    return {
        name: _other(field.annotation, field.metadata, field.default)
        for name, field in model.model_fields.items()
    }


@pytest.mark.parametrize("rule", RULE_SETTINGS)
def test_flags_give_back_the_settings_they_come_from(rule):
    model = RULE_SETTINGS[rule]
    changes = _all_other(model)
    for values in (changes, *({name: value} for name, value in changes.items()), {}):
        settings = model(**values)
        assert tyro.cli(model, args=to_flags(settings)) == settings


def test_default_settings_need_no_flags():
    assert [flag for model in RULE_SETTINGS.values() for flag in to_flags(model())] == []


@pytest.mark.parametrize("rule", RULE_SETTINGS)
def test_each_flag_is_either_tracked_or_not(rule):
    model = RULE_SETTINGS[rule]
    settings = model(**_all_other(model))
    parts = [to_flags(settings, "tracked"), to_flags(settings, "untracked")]
    assert tyro.cli(model, args=[*parts[0], *parts[1]]) == settings
    names = {flag[2:].replace("-", "_") for flag in parts[1] if flag.startswith("--")}
    assert names == untracked_names(model)
    assert not names & dump_tracked(settings).keys()


def test_a_name_is_untracked_wherever_it_stands():
    for rules in (RULE_SETTINGS, *ENTRY_SETTINGS.values()):
        for model in rules.values():
            assert UNTRACKED_NAMES & model.model_fields.keys() == untracked_names(model)


def test_flags_of_a_rule_follow_the_configuration():
    values = {**MINIMAL, "seed": 5, "data": {"test_ratio": 0.4, "overlap_ngram": 20}}
    config = load_config(values)
    assert flags_for("split_dataset", config) == ["--seed", "5", "--test-ratio", "0.4"]
    assert flags_for("drop_overlap", config) == ["--overlap-ngram", "20"]


@pytest.mark.parametrize("rule", RULE_SETTINGS)
def test_every_setting_of_a_rule_stands_in_one_section_with_the_same_default(rule):
    config = load_config({**MINIMAL})
    assert settings_for(rule, config) == RULE_SETTINGS[rule]()


def _models(model, seen):
    seen.add(model)
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel) and part not in seen:
                _models(part, seen)
    return seen


def test_every_setting_has_a_description_that_ends_like_a_sentence():
    for model in _models(Config, set(RULE_SETTINGS.values())):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            assert field.description.rstrip().endswith("."), f"{model.__name__}.{name}"


def test_configuration_is_read_without_torch_and_datasets():
    code = (
        "import sys; sys.path.insert(0, 'workflow_scripts'); import sluice.config; "
        "print([n for n in ('torch', 'datasets', 'transformers', 'pyarrow') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def _check_samples(path, *, key):
    values: dict[str, Any] = {"datasets": {"mm": {"hub": "mm"}}, "models": MINIMAL["models"]}
    values["tasks"] = {"math": {"model": "base", "prompts": "results/data/mm/train.jsonl"}}
    values["adapters"] = {"own": {"model": "base", "samples": ["results/selected_data.jsonl"]}}
    values["suites"] = {"math": {"samples": "results/data/mm/test.jsonl"}}
    section, name, field = key.split(".")
    values[section][name][field] = [path] if section == "adapters" else path
    check_local_sources(load_config(values))


SAMPLES_KEYS = ("tasks.math.prompts", "adapters.own.samples", "suites.math.samples")


@pytest.mark.parametrize("key", SAMPLES_KEYS)
@pytest.mark.parametrize(
    ("path", "what", "near"),
    [
        ("results/sampled/maths/accepted.jsonl", "no rule makes", "results/sampled/math/accepted"),
        ("results/data/mm/trian.jsonl", "no rule makes", "results/data/mm/train.jsonl"),
        ("results/flywheel/turn_01/sft_train.jsonl", "no rule makes", "results/"),
        ("READMEE.md", "which does not exist", "README.md"),
        ("no/such/folder.jsonl", "which does not exist", None),
    ],
)
def test_samples_that_are_not_there_and_that_no_rule_makes_are_refused(
    monkeypatch, key, path, what, near
):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match=f"'{key}' (is|names) '{path}', which ") as caught:
        _check_samples(path, key=key)
    assert what in caught.value.what
    assert (near or "") in (caught.value.hint or "")


@pytest.mark.parametrize("key", SAMPLES_KEYS)
def test_samples_that_are_there_or_that_a_rule_makes_are_taken(tmp_path, key):
    mine = tmp_path / "mine.jsonl"
    mine.touch()  # without a reference that a suite's grader could not use
    made = ("data/mm/train", "random/mm", "flywheel/turn_3/sft_train", "sampled/math/accepted")
    for path in (str(mine), *(f"results/{each}.jsonl" for each in made)):
        _check_samples(path, key=key)


@pytest.mark.parametrize(
    ("grader", "what"),
    [
        ({"grader": "label"}, r"'labels' is \[\]"),
        ({"grader": "label", "labels": ["yes"]}, r"'labels' is \['yes'\]"),
        ({"grader": "regex"}, "the grader 'regex' has no 'pattern'"),
        ({"grader": "regex", "pattern": "("}, "no regular expression"),
        ({"grader": "regex", "pattern": "(a)(b)"}, "has 2 groups"),
        ({"grader": "regex", "pattern": "a"}, "has 0 groups"),
        ({"labels": ["yes", "no"]}, "the grader is 'exact', which has no use for it"),
    ],
)
def test_graders_that_cannot_be_made_are_refused_before_anything_runs(grader, what):
    task = {"model": "base", "prompts": "p.jsonl", **grader}
    with pytest.raises(ConfigError, match=rf"'tasks\.t': .*{what}"):
        load_config({**MINIMAL, "tasks": {"t": task}})
    with pytest.raises(ConfigError, match=rf"'suites\.s': .*{what}"):
        load_config({**MINIMAL, "suites": {"s": {"samples": "s.jsonl", **grader}}})


def test_focus_that_is_no_expression_is_refused_before_anything_runs():
    adapter = {"model": "base", "samples": ["s.jsonl"], "focus": ["####", "re:("]}
    with pytest.raises(ConfigError, match=r"'adapters\.own': 'focus' holds 're:\('"):
        load_config({**MINIMAL, "adapters": {"own": adapter}})
    with pytest.raises(ConfigError, match=r"'flywheel\.adapter': 'focus' holds 're:x\*'"):
        load_config({**MINIMAL, "flywheel": {"adapter": {"focus": ["re:x*"]}}})


def test_checking_a_configuration_imports_nothing_heavy():
    code = "import sys, sluice.config; print({'torch', 'transformers', 'numpy'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "workflow_scripts",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"

"""The evaluation bundle: which tasks there are, their random baselines, and their items."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.errors import ConfigError, DataError
from sluice.files import read_csv, read_yaml
from sluice.records import iterate_lines

TaskType = Literal["multiple_choice", "schema", "language_modeling"]

BASELINE_FILES = {"v1": "eval_meta_data_v1.csv", "v2": "eval_meta_data.csv"}
"""Version of the random baselines -> their file in the bundle."""

_TASK_LIST = "core.yaml"
_DATA_FOLDER = "eval_data"
# nanochat's: the order of the items, and with it who is among the first `max_per_task`.
_SHUFFLE_SEED = 1337
_Text = Annotated[str, Field(pattern=r"\S")]


@dataclass(frozen=True)
class Task:
    """One task of the bundle."""

    label: str
    type: TaskType
    data: Path
    """Its items, JSON Lines."""
    num_shots: int
    delimiter: str
    """Stands between a context and its continuation."""
    baselines: Mapping[str, float]
    """Version -> accuracy of guessing, as a share."""

    @property
    def is_there(self) -> bool:
        """Whether the bundle holds the task's data."""
        return self.data.is_file()


@dataclass(frozen=True)
class Item:
    """One item of any type; prompts are contexts x continuations, of which one side is single."""

    line: int
    """In the data file, from 1."""
    contexts: tuple[str, ...]
    continuations: tuple[str, ...]
    gold: int
    """Which of the contexts (schema) or continuations (multiple choice) is right; else 0."""


class _Listed(BaseModel):
    """A task in core.yaml; other keys there are llm-foundry's own."""

    model_config = ConfigDict(extra="ignore", strict=True)

    label: str
    dataset_uri: str
    num_fewshot: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    icl_task_type: TaskType
    continuation_delimiter: str = " "


class _MultipleChoice(BaseModel):
    query: str
    choices: Annotated[list[str], Field(min_length=2)]
    gold: Annotated[int, Field(ge=0)]


class _Schema(BaseModel):
    context_options: Annotated[list[str], Field(min_length=2)]
    continuation: _Text
    gold: Annotated[int, Field(ge=0)]


class _LanguageModeling(BaseModel):
    context: str
    continuation: _Text


def read_tasks(bundle: Path) -> list[Task]:
    """The tasks that a bundle lists, whether or not their data is there, in its order.

    Raises:
        DataError: the folder is no bundle, or a task has no random baseline.
    """
    path = bundle / _TASK_LIST
    if not path.is_file():
        raise DataError(
            f"{bundle} is no evaluation bundle: it has no {_TASK_LIST}",
            expected=f"{_TASK_LIST}, {' or '.join(BASELINE_FILES.values())}, {_DATA_FOLDER}/",
        )
    try:
        listed = [_Listed.model_validate(entry) for entry in read_yaml(path)["icl_tasks"]]
    except (DataError, ValidationError, KeyError, TypeError) as error:
        raise DataError(f"the task list cannot be read: {error}", where=str(path)) from None
    outside = [each.dataset_uri for each in listed if ".." in Path(each.dataset_uri).parts]
    outside += [each.dataset_uri for each in listed if Path(each.dataset_uri).is_absolute()]
    if outside:
        raise DataError(f"the task list names a file outside of the bundle: {outside[0]}")
    tables = _read_baselines(bundle)
    return [
        Task(
            label=entry.label,
            type=entry.icl_task_type,
            data=bundle / _DATA_FOLDER / entry.dataset_uri,
            num_shots=entry.num_fewshot[0],
            delimiter=entry.continuation_delimiter,
            baselines=_baselines_of(entry.label, tables),
        )
        for entry in listed
    ]


def _read_baselines(bundle: Path) -> dict[str, dict[str, float]]:
    """Version -> task -> random baseline as a share; only of the tables that are there."""
    tables = {}
    for version, name in BASELINE_FILES.items():
        path = bundle / name
        if path.is_file():
            rows = read_csv(path)
            try:
                # The files hold percent.
                shares = {row["Eval Task"]: float(row["Random baseline"]) / 100 for row in rows}
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"the random baselines cannot be read: {error!r}",
                    where=str(path),
                    expected="CSV with the columns 'Eval Task' and 'Random baseline' (percent)",
                ) from None
            tables[version] = shares
    if not tables:
        raise DataError(
            f"{bundle} has no random baselines",
            expected=" or ".join(BASELINE_FILES.values()),
        )
    return tables


def _baselines_of(label: str, tables: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    lacking = [BASELINE_FILES[version] for version, table in tables.items() if label not in table]
    if lacking:
        raise DataError(f"task '{label}' has no random baseline in {' and '.join(lacking)}")
    return {version: table[label] for version, table in tables.items()}


def present_tasks(tasks: list[Task], *, allow_missing: bool) -> list[Task]:
    """The tasks whose data is there.

    Raises:
        DataError: some data is missing and that is not allowed, or all of it is.
    """
    present = [task for task in tasks if task.is_there]
    missing = [task for task in tasks if not task.is_there]
    if missing and not (allow_missing and present):
        raise DataError(
            f"the data of {len(missing)} of {len(tasks)} tasks is missing: "
            + ", ".join(f"{task.label} ({task.data.name})" for task in missing),
            where=str(missing[0].data.parent.parent),
            hint="complete the bundle, or set core.allow_missing: true (--allow-missing) for a "
            "CORE over the other tasks, marked partial"
            if present
            else None,
        )
    return present


def read_items(task: Task) -> list[Item]:
    """All items of a task, in nanochat's shuffled order.

    Raises:
        DataError: a line is no item of the task's type, or there are too few for the shots.
    """
    items = [_parse(task, number, line) for number, line in iterate_lines(task.data)]
    check_shots(task, num_items=len(items))
    random.Random(_SHUFFLE_SEED).shuffle(items)
    return items


def check_shots(task: Task, *, num_items: int) -> None:
    """Makes sure that an item has enough others to take its few-shot examples from.

    Raises:
        DataError: there are too few.
    """
    if num_items <= task.num_shots:
        raise DataError(
            f"task '{task.label}' has {num_items} items, and shows {task.num_shots} others with "
            "each",
            where=str(task.data),
            expected=f"at least {task.num_shots + 1} items",
            hint="raise core.max_per_task, or unset core.nanochat_compatible, which draws the "
            "examples from the shortened data",
        )


def _parse(task: Task, number: int, line: bytes) -> Item:
    where = f"{task.data}, line {number:,}"
    try:
        item: Item = _READERS[task.type](number, line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "line"
        raise DataError(
            f"no item of type {task.type}: {field}: {first['msg']}", where=where
        ) from None
    num_options = max(len(item.contexts), len(item.continuations))
    if item.gold >= num_options:
        raise DataError(f"'gold' is {item.gold} of {num_options} options", where=where)
    return item


def _read_multiple_choice(number: int, line: bytes) -> Item:
    read = _MultipleChoice.model_validate_json(line)
    return Item(number, (read.query,), tuple(read.choices), read.gold)


def _read_schema(number: int, line: bytes) -> Item:
    read = _Schema.model_validate_json(line)
    return Item(number, tuple(read.context_options), (read.continuation,), read.gold)


def _read_language_modeling(number: int, line: bytes) -> Item:
    read = _LanguageModeling.model_validate_json(line)
    # Some contexts end in a space, which the delimiter would double.
    return Item(number, (read.context.strip(),), (read.continuation,), 0)


_READERS: dict[str, Any] = {
    "multiple_choice": _read_multiple_choice,
    "schema": _read_schema,
    "language_modeling": _read_language_modeling,
}


def bundle_files(bundle: str | None, *, allow_missing: bool) -> list[str]:
    """The files of a bundle that an evaluation reads.

    Raises:
        ConfigError: no bundle is named.
        DataError: it lacks something.
    """
    if bundle is None:
        raise no_bundle()
    folder = Path(bundle)
    present = present_tasks(read_tasks(folder), allow_missing=allow_missing)
    tables = [folder / name for name in BASELINE_FILES.values() if (folder / name).is_file()]
    return sorted(
        {str(path) for path in (folder / _TASK_LIST, *tables, *(t.data for t in present))}
    )


def no_bundle() -> ConfigError:
    """The error of a run without a bundle."""
    return ConfigError(
        "no evaluation bundle is named, so there is nothing to evaluate on",
        expected=f"core.bundle: a folder with {_TASK_LIST}, {BASELINE_FILES['v2']} and "
        f"{_DATA_FOLDER}/",
        hint="DCLM and nanochat publish one; set core: {bundle: path/to/eval_bundle} in your "
        "configuration file, or --bundle on the command line",
    )

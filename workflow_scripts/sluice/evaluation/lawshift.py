"""LawShift: cases under the statute as it was and as it was changed, made into a suite.

A folder holds one folder per change type, named as in resources/lawshift/labels.csv, each with
original.json and poisoned.json (lists of cases) and articles_original.json and
articles_poisoned.json (article number -> text). What counts as right is the grader's business:
``reference`` carries the type's label and the split.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sluice.errors import DataError, shorten_ids
from sluice.files import read_csv, read_json, read_text
from sluice.grading.lawshift import LABELS, SPLITS
from sluice.law_cases import is_storable, read_articles
from sluice.records import Message, Sample

_PLACEHOLDER = re.compile(r"\{(articles|old_articles|new_articles|fact)\}")
_NEEDED = {"original": {"articles", "fact"}, "poisoned": {"old_articles", "new_articles", "fact"}}


@dataclass(frozen=True)
class ChangeType:
    """One way in which a statute was changed."""

    number: str
    """Such as ``T1.1``."""
    name: str
    """Of its folder."""
    label: str
    """What the change does to the verdict: one of `LABELS`."""


def read_change_types(path: Path) -> list[ChangeType]:
    """The change types of a labels file: CSV with ``type``, ``name`` and ``label``.

    Raises:
        DataError: the file is missing or no CSV, lacks a column, or has an unknown label or a type
            twice.
    """
    types = []
    for number, row in enumerate(read_csv(path), start=2):
        values = [row.get(column) for column in ("type", "name", "label")]
        if not all(values) or values[2] not in LABELS:
            raise DataError(
                f"line {number} is no change type: {row}",
                where=str(path),
                expected=f"columns type, name, label; labels {', '.join(LABELS)}",
            )
        types.append(ChangeType(*(str(value) for value in values)))
    if not types or len({each.name for each in types}) < len(types):
        raise DataError("there is no change type, or one stands twice", where=str(path))
    return types


def read_prompt(path: Path, *, split: str) -> str:
    """The prompt of a split.

    Raises:
        DataError: the file is missing, not UTF-8, or lacks one of the placeholders that it needs.
    """
    text = read_text(path).strip()
    missing = sorted(_NEEDED[split] - set(_PLACEHOLDER.findall(text)))
    if missing:
        names = ", ".join(f"{{{name}}}" for name in missing)
        raise DataError(f"the prompt of the {split} split lacks {names}", where=str(path))
    return text


def convert_lawshift(
    folder: Path, types: Sequence[ChangeType], *, prompts: Mapping[str, str], suite: str
) -> Iterator[Sample]:
    """The cases of all change types and both splits, as items of a suite.

    Groups are ``<folder>/original`` and ``<folder>/poisoned``; the order is that of ``types``.

    Args:
        folder: LawShift's folder.
        types: the change types that must be there; other folders are left alone.
        prompts: split -> prompt with placeholders, from `read_prompt`.
        suite: name of the suite, for the ids.
    Raises:
        DataError: a folder, a file, an article or a field is missing; the folder is named.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder", expected="a folder with one folder a change type")
    missing = [each.name for each in types if not (folder / each.name).is_dir()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(types)} change types have no folder"
            f" ({shorten_ids(missing, limit=5)})",
            where=str(folder),
        )
    number = 0
    for change in types:
        articles: dict[str, dict[str, str]] = {
            split: _read_articles(folder / change.name, split) for split in SPLITS
        }
        for split in SPLITS:
            for fact, numbers in _read_cases(folder / change.name, split):
                texts = _article_texts(articles, numbers, split=split, folder=folder / change.name)
                values = {**texts, "fact": fact}
                yield Sample(
                    messages=(Message(role="user", content=_fill(prompts[split], values)),),
                    dataset=suite,
                    id=f"{suite}_{number}",
                    group=f"{change.name}/{split}",
                    reference={"label": change.label, "split": split},
                    meta={"type": change.number, "relevant_articles": list(numbers)},
                )
                number += 1


def _fill(prompt: str, values: Mapping[str, str]) -> str:
    # In one go, so that braces in a case are no placeholders.
    return _PLACEHOLDER.sub(lambda found: values[found[1]], prompt)


def _checked_file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise DataError(f"change type '{folder.name}' lacks {name}", where=str(folder))
    return folder / name


def _read_articles(folder: Path, split: str) -> dict[str, str]:
    return read_articles(_checked_file(folder, f"articles_{split}.json"))


def _read_cases(folder: Path, split: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields fact and article numbers of each case."""
    name = f"{split}.json"
    cases = read_json(_checked_file(folder, name))
    if not isinstance(cases, list) or not cases:
        raise DataError(
            f"{name} of change type '{folder.name}' is no list of cases", where=str(folder / name)
        )
    for place, case in enumerate(cases):
        for field, kind in (("fact", str), ("relevant_articles", list)):
            if not isinstance(case, dict) or not isinstance(case.get(field), kind):
                raise DataError(
                    f"case {place} of {name} of change type '{folder.name}' has no '{field}'",
                    where=str(folder / name),
                    expected='{"fact": str, "relevant_articles": [number, ...]}',
                )
        if not is_storable(case["fact"]):
            raise DataError(
                f"case {place} of {name} of change type '{folder.name}' holds half a character",
                where=str(folder / name),
            )
        yield case["fact"], tuple(str(number) for number in case["relevant_articles"])


def _article_texts(
    articles: Mapping[str, Mapping[str, str]],
    numbers: Sequence[str],
    *,
    split: str,
    folder: Path,
) -> dict[str, str]:
    """Placeholder -> text of the articles that a case names."""
    sources = {"original": {"articles": "original"}}.get(
        split, {"old_articles": "original", "new_articles": "poisoned"}
    )
    for version in sources.values():
        unknown = [number for number in numbers if number not in articles[version]]
        if unknown or not numbers:
            raise DataError(
                f"change type '{folder.name}' has no article {', '.join(unknown) or 'for a case'}"
                f" in articles_{version}.json",
                where=str(folder / f"{split}.json"),
            )
    return {
        placeholder: "\n".join(articles[version][number] for number in numbers)
        for placeholder, version in sources.items()
    }

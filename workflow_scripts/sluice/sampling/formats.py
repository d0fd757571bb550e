"""Prompts in, from canonical samples or LawShift cases; kept completions out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import DataError, shorten_ids
from sluice.files import read_json, read_text
from sluice.law_cases import CaseProblem, read_articles, read_law_case
from sluice.records import Message, Sample, check_storable, read_samples
from sluice.seeds import derive_seed


@dataclass(frozen=True)
class Prompt:
    """What is to be completed, and how a completion is judged."""

    id: str
    messages: tuple[Message, ...]
    """Up to the assistant's turn that is wanted."""
    reference: Mapping[str, Any]
    dataset: str
    group: str | None
    fields: Mapping[str, Any]
    """What sampled_data.json says of the prompt: a case's own fields, or prompt and reference."""


def read_prompts(path: Path, *, articles: Path | None, legal_prompt: Path) -> list[Prompt]:
    """Prompts of canonical samples (JSONL) or of LawShift cases (a JSON list).

    Args:
        path: the file.
        articles: LawShift: JSON object, article number -> text.
        legal_prompt: LawShift: template with {articles} and {fact}.
    Raises:
        DataError: the file is neither, is empty, or has prompts that cannot be judged; or articles
            are given for canonical samples.
    """
    is_law = is_law_cases(path)
    if articles is not None and not is_law:
        raise DataError(
            f"--articles is {articles}, but {path} holds no LawShift cases, which alone need it",
            expected="a JSON list of cases, or canonical samples without --articles",
        )
    prompts = (
        _read_cases(path, articles=articles, legal_prompt=legal_prompt)
        if is_law
        else [_to_prompt(sample, path=path) for sample in read_samples(path)]
    )
    if not prompts:
        raise DataError(f"{path} holds no prompt")
    _check_ids(prompts, path)
    without = [prompt.id for prompt in prompts if not prompt.reference]
    if without:
        raise DataError(
            f"{len(without):,} of {len(prompts):,} prompts have no reference "
            f"({shorten_ids(without)}), so no completion of them can be judged",
            where=str(path),
            expected='"reference": {"answer": ...}, or what the task\'s grader needs',
        )
    return prompts


def is_law_cases(path: Path) -> bool:
    """Whether a file is a JSON list, as LawShift cases are, and not JSON Lines.

    Raises:
        DataError: the file is missing.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None


def choose_prompts(prompts: list[Prompt], *, num_prompts: int | None, seed: int) -> list[Prompt]:
    """So many of the prompts, in their order; which ones depends on seed and ids alone."""
    if num_prompts is None or num_prompts >= len(prompts):
        return prompts
    drawn = sorted(prompts, key=lambda prompt: (derive_seed(seed, "prompts", prompt.id), prompt.id))
    chosen = {prompt.id for prompt in drawn[:num_prompts]}
    return [prompt for prompt in prompts if prompt.id in chosen]


def _check_ids(prompts: list[Prompt], path: Path) -> None:
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise DataError(f"the id '{prompt.id}' stands there more than once", where=str(path))
        seen.add(prompt.id)


def _to_prompt(sample: Sample, *, path: Path) -> Prompt:
    roles = [message.role for message in sample.messages]
    end = len(roles) - roles[::-1].index("assistant") - 1 if "assistant" in roles else len(roles)
    messages = sample.messages[:end]
    if not any(message.role == "user" for message in messages):
        raise DataError(f"sample '{sample.id}' has no user message to complete", where=str(path))
    reference = sample.reference or {}
    try:
        check_storable(reference)
    except ValueError as error:
        raise DataError(f"the reference of '{sample.id}': {error}", where=str(path)) from None
    fields = {"prompt": [message.model_dump() for message in messages], **reference}
    return Prompt(sample.id, messages, reference, sample.dataset, sample.group, fields)


def _read_cases(path: Path, *, articles: Path | None, legal_prompt: Path) -> list[Prompt]:
    if articles is None:
        raise DataError(
            f"{path} is a JSON list, which is read as LawShift cases, whose statute is missing",
            expected="canonical samples as JSON Lines, or --articles with LawShift cases",
            hint="convert_dataset.py makes canonical samples of Alpaca's and other lists: "
            f"--path {path} --dataset {path.stem} --samples samples.jsonl ...",
        )
    statute, template = read_articles(articles), read_text(legal_prompt)
    prompts, problems = [], []
    for index, row in enumerate(read_json(path)):
        try:
            case = read_law_case(row, articles=statute, template=template)
            _check_writable(row)
        except CaseProblem as problem:
            problems.append(f"case {index}: {problem.detail}")
            continue
        messages = (Message(role="user", content=case.prompt),)
        id_ = f"{path.stem}_{index}"
        prompts.append(Prompt(id_, messages, case.reference, path.stem, None, row))
    if problems:
        raise DataError(
            f"{len(problems):,} cases cannot be used: {'; '.join(problems[:3])}",
            where=str(path),
            hint="convert_dataset.py leaves such rows out and counts them by reason",
        )
    return prompts


def _check_writable(row: Mapping[str, Any]) -> None:
    """All of a case goes into sampled_data.json, also what no grader looks at."""
    try:
        to_line(row).encode()
    except ValueError as error:
        raise CaseProblem("wrong_type", f"a field that JSON cannot hold: {error}") from None


def sampled_entry(prompt: Prompt, *, completion_id: str, text: str, num_correct: int) -> Any:
    """One entry of sampled_data.json."""
    group = {"group": prompt.group} if prompt.group is not None else {}
    return {
        **prompt.fields,
        "id": completion_id,
        "prompt_id": prompt.id,
        "dataset": prompt.dataset,
        **group,
        "response": text,
        "num_correct_for_this_sample": num_correct,
    }


def accepted_sample(prompt: Prompt, *, completion_id: str, text: str, num_correct: int) -> Sample:
    """One row of accepted.jsonl: a canonical sample of weight 1/n."""
    return Sample(
        messages=(*prompt.messages, Message(role="assistant", content=text)),
        dataset=prompt.dataset,
        id=completion_id,
        weight=1 / num_correct,
        group=prompt.group,
        reference=dict(prompt.reference),
    )


def to_line(value: Any) -> str:
    """One JSON object as a line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"

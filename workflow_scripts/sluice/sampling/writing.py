"""Files of a rejection sampling run: kept completions, all completions, books and numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sluice.errors import DataError
from sluice.files import atomic_path, check_no_folder, write_json
from sluice.ledger import Ledger
from sluice.logs import get_logger
from sluice.records import write_samples
from sluice.sampling.formats import Prompt, accepted_sample, sampled_entry, to_line
from sluice.sampling.sampling import GradedCompletion

logger = get_logger(__name__)

Graded = Sequence[tuple[Prompt, Sequence[GradedCompletion]]]

_ACCEPTED = "accepted.jsonl"
_STATISTICS = "sampling_stats.json"


def check_folder(output: Path) -> None:
    """Refuses a folder that holds another output, whose files of fixed names would be lost.

    Raises:
        DataError: there are accepted completions of another output, or the output is a folder.
    """
    check_no_folder(output)
    other = output.parent / _ACCEPTED
    # The ledger has the output's name, and is there before the accepted completions are.
    if other.exists() and not _ledger_path(output).exists():
        raise DataError(
            f"{other} is there already, and is not that of {output.name}",
            expected=f"one output a folder: {_ACCEPTED}, completions.jsonl and "
            "sampling_stats.json are written beside it",
            hint="give --output a folder of its own",
        )


def _ledger_path(output: Path) -> Path:
    return output.parent / f"{output.stem}.ledger.json"


def write_sampled(output: Path, graded: Graded, *, summary: dict[str, Any]) -> None:
    """Writes the kept completions, all completions, the books and the numbers.

    Args:
        output: sampled_data.json; beside it appear accepted.jsonl, completions.jsonl,
            sampling_stats.json, sampled_data.ledger.json and sampled_data.rejected.jsonl.
        graded: each prompt with its completions.
        summary: the numbers of sampling_stats.json.
    """
    folder = output.parent
    dataset = graded[0][0].dataset
    ledger = Ledger(
        "sample_responses",
        dataset,
        path=_ledger_path(output),
        rejected_path=folder / f"{output.stem}.rejected.jsonl",
    )
    with (
        ledger,
        atomic_path(folder / "completions.jsonl") as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as stream,
    ):
        for prompt, completions in graded:
            for each in completions:
                row = _completion_row(prompt, each)
                stream.write(to_line(row))
                _book(ledger, each, row)
    logger.info("%s: %s", dataset, ledger.summary())
    if not ledger.rows_kept:
        logger.warning(
            "%s: no completion is kept, so %s is empty and nothing can be learnt from it; the "
            "reasons are counted under 'rejected' in %s",
            dataset,
            folder / _ACCEPTED,
            folder / _STATISTICS,
        )
    write_samples(folder / _ACCEPTED, [accepted_sample(**kept) for kept in _kept(graded)])
    write_json(folder / _STATISTICS, summary)
    write_json(output, [sampled_entry(**kept) for kept in _kept(graded)])


def _book(ledger: Ledger, each: GradedCompletion, row: dict[str, Any]) -> None:
    ledger.read()
    if each.rejection is None:
        ledger.keep()
    else:
        ledger.reject(each.rejection, row=row, where=each.id, detail=each.grade.answer or "")


def _completion_row(prompt: Prompt, each: GradedCompletion) -> dict[str, Any]:
    return {
        "id": each.id,
        "prompt_id": prompt.id,
        "dataset": prompt.dataset,
        "group": prompt.group,
        "completion": each.completion.text,
        "num_tokens": each.completion.num_tokens,
        "finish_reason": each.completion.finish_reason,
        "verdict": each.grade.verdict,
        "answer": each.grade.answer,
        "is_kept": each.is_kept,
    }


def _kept(graded: Graded) -> Sequence[dict[str, Any]]:
    """What the writers of kept completions take, in the order of the prompts."""
    rows = []
    for prompt, completions in graded:
        kept = [each for each in completions if each.is_kept]
        for each in kept:
            text = each.completion.text
            rows.append(
                {
                    "prompt": prompt,
                    "completion_id": each.id,
                    "text": text,
                    "num_correct": len(kept),
                }
            )
    return rows

"""GSM8K from its raw rows to grades: sampling with its own answers, and with somebody else's."""

import json
import random

import pytest
from scripted_engine import ScriptedEngine
from support import ROOT

from sluice.data.conversion import convert_dataset
from sluice.engines.engine import Sampling
from sluice.engines.notes import generate_all
from sluice.grading.choosing import make_grader
from sluice.sampling.formats import read_prompts
from sluice.sampling.sampling import grade_completions, make_requests
from sluice.settings.data import ConvertDataset, DatasetSource
from sluice.settings.grading import GraderSettings

PROMPT = ROOT / "resources/prompts/legal_judgment_v1.txt"
SAMPLING = Sampling(temperature=1, top_p=1, max_new_tokens=10_000)


@pytest.fixture(scope="module")
def problems(shared_data, tmp_path_factory):
    """The prompts, and the reference solution of each question."""
    folder = tmp_path_factory.mktemp("gsm8k")
    source = shared_data / "gsm8k" / "test.jsonl"
    convert_dataset(
        DatasetSource(path=str(source)),
        dataset="gsm8k",
        settings=ConvertDataset(),
        legal_prompt=PROMPT,
        samples_path=folder / "samples.jsonl",
        ledger_path=folder / "ledger.json",
        rejected_path=folder / "rejected.jsonl",
        kept_on_failure=folder / "kept.jsonl",
    )
    prompts = read_prompts(folder / "samples.jsonl", articles=None, legal_prompt=PROMPT)
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    return prompts, {row["question"]: row["answer"] for row in rows}


def _num_correct(prompts, answers, folder):
    engine = ScriptedEngine(lambda request: answers[request.messages[-1].content])
    requests = make_requests(prompts, num_samples=2, seed=1)
    notes = folder / "notes.jsonl"
    completions, _ = generate_all(engine, requests, sampling=SAMPLING, notes_path=notes)
    grader = make_grader(GraderSettings(grader="number"))
    graded = grade_completions(prompts, completions, grader=grader, deduplicate="all")
    return sum(each.grade.is_correct for group in graded for each in group)


def test_reference_solutions_are_all_right(problems, tmp_path):
    prompts, solutions = problems
    assert len(prompts) == 1319
    assert _num_correct(prompts, solutions, tmp_path) == 2 * 1319


def test_shuffled_solutions_are_right_only_where_the_numbers_are_equal(problems, tmp_path):
    prompts, solutions = problems
    others = list(solutions.values())
    random.Random(1).shuffle(others)
    shuffled = dict(zip(solutions, others, strict=True))

    def number(text):
        return float(text.rpartition("####")[2].replace(",", ""))

    num_equal = sum(number(solutions[q]) == number(shuffled[q]) for q in solutions)
    assert 0 < num_equal < 100
    assert _num_correct(prompts, shuffled, tmp_path) == 2 * num_equal

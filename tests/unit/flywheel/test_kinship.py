"""A judge of the model's own family is warned of, also by the step that judges."""

import json

import pytest
from local_server import LocalServer, completion
from support import ROOT

from sluice.errors import DataError
from sluice.flywheel.judging_run import judge_responses, read_simulation
from sluice.flywheel.kinship import warn_of_kinship
from sluice.settings.flywheel import JudgeResponses
from sluice.settings.llm import Judge

GOOD = '{"accuracy": 4, "helpfulness": 5, "coherence": 3, "reason": "fine"}'


@pytest.mark.parametrize(
    ("judge", "model", "words"),
    [
        (
            "qwen-max",
            "Qwen/Qwen2.5-3B",
            "evaluator qwen-max and the model Qwen/Qwen2.5-3B are both",
        ),
        ("qwen-max", "my-own", "family unknown: my-own; whether evaluator qwen-max prefers"),
        ("someone", "my-own", "family unknown: someone and my-own; whether evaluator someone"),
        ("gpt-4o", "Qwen/Qwen2.5-3B", ""),
        ("offline-evaluator", "base", ""),
    ],
)
def test_what_is_said_of_a_judge_and_a_model(judge, model, words, caplog):
    shared = warn_of_kinship("evaluator", judge, model=model)
    assert shared == (["qwen"] if "both" in words else [])
    assert words in caplog.text
    assert bool(caplog.text) is bool(words)


@pytest.mark.parametrize(
    ("generator", "words"),
    [("Qwen/Qwen2.5-3B", "of the family qwen"), (None, "family unknown: results/turn_1/merged")],
)
def test_the_step_that_judges_warns(generator, words, tmp_path, caplog):
    talk = [{"id": "d", "exchanges": [{"user": "q", "assistant": "a"}]}]
    data = {"format_version": 1, "model": "results/turn_1/merged", "dialogues": talk}
    (tmp_path / "s.json").write_text(json.dumps(data))
    with LocalServer(lambda number, body: completion(GOOD)) as server:
        judge_responses(
            tmp_path / "s.json",
            generator=generator,
            settings=JudgeResponses(),
            endpoint=Judge(base_url=server.url, model="qwen-max"),
            prompt=ROOT / "resources/flywheel/judge_v1.txt",
            law_path=ROOT / "resources/demo/cases.json",
            output=tmp_path / "e.json",
            answer_cache=tmp_path / "cache",
        )
    assert words in caplog.text


def test_a_model_whose_name_is_none_is_refused(tmp_path):
    talk = [{"id": "d", "exchanges": [{"user": "q", "assistant": "a"}]}]
    (tmp_path / "s.json").write_text(
        json.dumps({"format_version": 1, "model": 5, "dialogues": talk})
    )
    with pytest.raises(DataError, match=r"s\.json is no simulation data: model: Input should be"):
        read_simulation(tmp_path / "s.json")

"""A budget holds for an output's whole life: for its runs together, killed ones too."""

import json
import os
import signal
import subprocess
import sys

import pytest
from local_server import LocalServer, completion
from support import ROOT

from sluice.llm.spending import Spending
from sluice.llm.spending_log import FOLDER, SpendingLog

# 11 tokens in, 7 out, at 2 and 10 a million: 92 millionths a request.
PRICES = ("--price-per-million-input", "2", "--price-per-million-output", "10")
GOOD = '{"accuracy": 4, "helpfulness": 5, "coherence": 3, "reason": "fine"}'


@pytest.fixture
def judge(tmp_path):
    """Starts judge_responses on six exchanges, each a request, in a process of its own."""
    said = [{"id": f"d{n}", "exchanges": [{"user": f"q{n}", "assistant": "a"}]} for n in range(6)]
    simulation = {"format_version": 1, "model": "m", "dialogues": said}
    (tmp_path / "s.json").write_text(json.dumps(simulation))

    def start(server, *flags):
        command = [
            *(sys.executable, ROOT / "workflow_scripts/judge_responses.py"),
            *("--base-url", server.url, "--model", "m", "--concurrency", "1", *PRICES),
            *("--simulation", "s.json", "--output", "results/e.json"),
            *("--judge-prompt", ROOT / "resources/flywheel/judge_v1.txt", *flags),
        ]
        return subprocess.Popen(
            list(map(str, command)),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENAI_API_KEY": ""},
        )

    return start


def _end(process):
    words = process.communicate()[1]
    return process.returncode, words


def test_a_budget_is_spent_once_in_all_attempts_and_a_larger_one_goes_on(judge, tmp_path):
    with LocalServer(lambda number, body: completion(GOOD)) as server:
        code, words = _end(judge(server, "--max-cost", "0.0002"))
        assert (code, len(server.requests)) == (1, 3)
        for _ in range(2):
            code, words = _end(judge(server, "--max-cost", "0.0002"))
            assert (code, len(server.requests)) == (1, 3), "a retry pays for nothing"
            assert "the budget is spent: 0.0003 of the price's currency of 0.0002" in words
            assert "; 0.0003 in earlier runs" in words
            assert "raise max_cost" in words
        code, _ = _end(judge(server, "--max-cost", "0.0004"))
        assert (code, len(server.requests)) == (1, 5)
        code, words = _end(judge(server, "--max-cost", "0.1"))
        assert (code, len(server.requests)) == (0, 6)
        assert (
            "1 requests sent, 5 answers kept from before, 0.0001 spent now, 0.0005 before" in words
        )
        verdicts = json.loads((tmp_path / "results/e.json").read_text())
        assert verdicts["spending"] == {
            "prompt_tokens": 66,
            "completion_tokens": 42,
            "cost": pytest.approx(0.000552),
        }
        # What is made anew from kept answers needs no budget.
        code, _ = _end(judge(server, "--max-cost", "0"))
        assert (code, len(server.requests)) == (0, 6)


def test_what_a_killed_run_spent_is_known_to_the_next(judge):
    running = []

    def answer(number, body):
        if number == 2:
            running[0].send_signal(signal.SIGKILL)
        return completion(GOOD)

    with LocalServer(answer) as server:
        running.append(judge(server, "--max-cost", "0.0002"))
        assert _end(running[0])[0] == -signal.SIGKILL
        assert len(server.requests) == 3
        code, words = _end(judge(server, "--max-cost", "0.0002"))
    assert (code, len(server.requests)) == (1, 4), "two were booked, the third may be paid twice"
    assert "; 0.0002 in earlier runs" in words


def test_each_output_and_role_has_its_own_books_and_they_move_with_it(tmp_path):
    folder = tmp_path / "here"
    for output, role, cost in (("a.json", "", 1.0), ("b.json", "", 2.0), ("a.json", "judge", 4.0)):
        SpendingLog(folder / "kept", output=folder / output, role=role).add(Spending(1, 2, 3, cost))
    assert SpendingLog(folder / "kept", output=folder / "a.json").earlier == Spending(1, 2, 3, 1.0)
    moved = folder.rename(tmp_path / "there")
    assert SpendingLog(moved / "kept", output=moved / "b.json").earlier.cost == 2.0
    assert SpendingLog(moved / "kept", output=moved / "a.json", role="judge").earlier.cost == 4.0


def test_a_line_that_was_cut_off_is_said_and_not_counted(tmp_path, caplog):
    log = SpendingLog(tmp_path, output=tmp_path / "a.json")
    for _ in range(3):
        log.add(Spending(1, 0, 0, 0.5))
    (file,) = (tmp_path / FOLDER).iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    again = SpendingLog(tmp_path, output=tmp_path / "a.json")
    assert again.earlier == Spending(2, 0, 0, 1.0)
    assert "1 of 3 lines are damaged and are not counted" in caplog.text
    again.add(Spending(1, 0, 0, 0.5))
    assert SpendingLog(tmp_path, output=tmp_path / "a.json").earlier == Spending(3, 0, 0, 1.5)

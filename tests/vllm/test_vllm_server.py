"""vLLM's own server behind the flywheel's scripts, which run in vLLM's environment.

Skipped with the reason where SLUICE_VLLM_PYTHON is not set, as in test_vllm_engine.py.
"""

import asyncio
import json
import re
import shutil
import signal
import subprocess
import urllib.request

import psutil
import pytest
from support import ROOT
from vllm_python import vllm_environment, vllm_python

from sluice.flywheel.server_commands import Asking
from sluice.llm.client import Access, ChatClient, RequestError

TEXTS = [f"{chr(65 + n) * (n % 5 + 1)} {n * n}" for n in range(8)]
SERVED = ["--server=vllm", "--server-memory-utilization=0.2", "--server-max-model-len=512"]
ANSWERS = ["--max-new-tokens=12", "--exchanges=2"]


@pytest.fixture(scope="module")
def with_own_settings(model, tmp_path_factory):
    """The same weights; generation_config.json asks for another way of drawing."""
    folder = tmp_path_factory.mktemp("models") / "own_settings"
    shutil.copytree(model, folder)
    file = folder / "generation_config.json"
    own = {"do_sample": True, "top_k": 1, "repetition_penalty": 4.0}
    file.write_text(json.dumps({**json.loads(file.read_text()), **own}))
    return folder


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    file = tmp_path_factory.mktemp("topics") / "topics.jsonl"
    # All together stay below 2,048 tokens: beyond, vLLM computes prompts in parts, and then a
    # request with a seed stops it on a CPU ("CPU Generator does not use offset", 0.32.0).
    rows = [
        {"id": text, "topic": "a letter", "language": "en", "turns": [text, text[::-1]]}
        for text in TEXTS
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def _command(script, model, log, *flags):
    return [
        vllm_python(),
        f"workflow_scripts/{script}.py",
        f"--model-path={model}",
        *SERVED,
        *flags,
        *([f"--server-log={log}"] if log else []),
    ]


def _run(*words):
    return subprocess.run(
        _command(*words), cwd=ROOT, env=vllm_environment(), capture_output=True, text=True
    )


def _simulate(model, topics, folder, temperature):
    """What was said, by topic."""
    done = _run(
        *("simulate_dialogues", model, None, *ANSWERS, f"--temperature={temperature}"),
        *(f"--topics={topics}", f"--output={folder / 'out.json'}"),
        *(f"--state-dir={folder / 'state'}", f"--answer-cache={folder / 'cache'}"),
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads((folder / "out.json").read_text())
    assert (found["counts"]["complete"], found["counts"]["failed"]) == (8, 0)
    assert all(x["completion_tokens"] > 0 for each in found["dialogues"] for x in each["exchanges"])
    return {
        each["id"]: [(x["user"], x["assistant"]) for x in each["exchanges"]]
        for each in found["dialogues"]
    }


class _Served:
    """serve_model.py with all that it started."""

    def __init__(self, model, log, *flags):
        self.log = log
        self.process = subprocess.Popen(
            _command("serve_model", model, log, *flags),
            cwd=ROOT,
            env=vllm_environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        said = []
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"base_url (\S+),", line):
                self.url = found[1]
                break
        else:
            raise AssertionError("".join(said))
        self.started = psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number):
        """Sends a signal; returns the exit status and what was said after it."""
        self.process.send_signal(number)
        said = self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait(60), said


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    server = _Served(model, tmp_path_factory.mktemp("served") / "log")
    yield server
    server.stop(signal.SIGTERM)


def _ask(url, bodies):
    async def work():
        async with ChatClient(Access(url, max_retries=0)) as client:
            return await asyncio.gather(*(client.ask(body) for body in bodies))

    return asyncio.run(work())


def _body(model, text, **more):
    how = Asking("vllm", str(model), temperature=0.0, max_new_tokens=12, ends={})
    return {**how.body([{"role": "user", "content": text}], seed=1), **more}


def test_bootstrap_records_what_was_served_and_how_fast(model, tmp_path):
    done = _run(
        *("bootstrap_model", model, tmp_path / "log", "--max-new-tokens=5"),
        f"--output={tmp_path / 'bootstrap.json'}",
    )
    assert done.returncode == 0, done.stderr[-4000:]
    record = json.loads((tmp_path / "bootstrap.json").read_text())
    smoke = record["smoke"]
    assert (record["model"], record["server"]) == (str(model), "vllm")
    assert smoke["completion_tokens"] == 5
    assert smoke["answer"]
    assert 0 < smoke["first_token_s"] <= smoke["total_s"]
    assert set(record["versions"]) >= {"python", "transformers", "torch", "fastapi", "openai"}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_dialogues_are_the_same_again_whatever_the_models_own_settings_are(
    model, with_own_settings, topics, temperature, tmp_path
):
    once = _simulate(model, topics, tmp_path / "once", temperature)
    again = _simulate(with_own_settings, topics, tmp_path / "again", temperature)
    assert once == again
    answers = [answer for dialogue in once.values() for _, answer in dialogue]
    assert len(set(answers)) > 4


def test_a_models_own_settings_would_change_its_answers(served, model):
    # Else the test above could not fail.
    plain = _ask(served.url, [_body(model, text) for text in TEXTS])
    own = {"extra_body": {"repetition_penalty": 4.0}}
    changed = _ask(served.url, [_body(model, text, **own) for text in TEXTS])
    assert sum(a.text != b.text for a, b in zip(plain, changed, strict=True)) > 4


def test_seeds_decide_what_is_drawn(served, model):
    bodies = [_body(model, "Draw.", temperature=1.0, seed=seed) for seed in range(8)]
    drawn = [reply.text for reply in _ask(served.url, bodies)]
    assert [reply.text for reply in _ask(served.url, bodies)] == drawn
    assert len(set(drawn)) > 4


def test_a_dialogue_longer_than_the_model_takes_is_an_error_that_says_so(served, model):
    with pytest.raises(RequestError, match="maximum context length is 512 tokens"):
        _ask(served.url, [_body(model, "word " * 200)])


def test_only_this_machine_is_listened_to_and_no_statistics_are_sent(served):
    listening = {
        address.laddr.ip
        for process in served.started
        for address in process.net_connections("inet")
        if address.status == "LISTEN"
    }
    assert listening == {"127.0.0.1"}
    # The guard and the API's process; the engine's writes its title over its environment.
    found = [each.environ()["VLLM_NO_USAGE_STATS"] for each in served.started[:2]]
    assert found == ["1", "1"]


def test_a_port_that_is_taken_is_an_error_that_names_it(served, model, tmp_path):
    port = served.url.split(":")[2].removesuffix("/v1")
    done = _run("serve_model", model, tmp_path / "log", f"--port={port}")
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/health").status == 200


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_no_process_is_left_after_a_signal(model, tmp_path, number, status):
    server = _Served(model, tmp_path / "log")
    # The guard, the API's process, and the engine's own at least.
    assert len(server.started) >= 3
    found, said = server.stop(number)
    assert not psutil.wait_procs(server.started, timeout=60)[1]
    assert found == status
    assert "Traceback" not in said


def test_weights_that_are_cut_off_are_an_error_with_the_cause(model, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    done = _run("serve_model", broken, tmp_path / "log")
    assert done.returncode == 1
    assert "has ended before it was ready" in done.stderr
    assert "SafetensorError" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_model_is_an_error_with_the_cause(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    done = _run("serve_model", tmp_path, tmp_path / "log")
    assert done.returncode == 1
    assert "has ended before it was ready" in done.stderr
    assert "Error" in done.stderr.split("its last words")[1]

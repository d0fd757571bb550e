"""A real server of a tiny model: it starts, answers, says why it does not, and ends."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from support import ROOT
from tiny_models import write_tiny_checkpoint

from sluice.errors import EngineError
from sluice.flywheel import local_server
from sluice.flywheel.bootstrapping import bootstrap_model
from sluice.flywheel.local_server import serve_locally
from sluice.flywheel.server_commands import Asking, asking, server_command
from sluice.llm.client import Access, ChatClient
from sluice.settings.flywheel import BootstrapModel, ServerSettings

SETTINGS = ServerSettings(server="transformers", server_device="cpu")
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny"))


def _how(server, model, temperature):
    return asking(
        server.kind,
        model=model,
        revision=None,
        served_as=server.model,
        temperature=temperature,
        max_new_tokens=12,
    )


def _ask(server, how, seeds):
    async def work():
        async with ChatClient(Access(server.url, concurrency=how.concurrency or 8)) as client:
            return await asyncio.gather(*(client.ask(how.body(MESSAGES, seed=s)) for s in seeds))

    return [reply.text for reply in asyncio.run(work())]


def test_answers_are_greedy_or_drawn_as_asked_and_nothing_is_left(model, tmp_path):
    with serve_locally(model, SETTINGS, log_path=tmp_path / "log") as server:
        processes = psutil.Process(server.process.pid).children(recursive=True)
        listening = [
            each.laddr for each in processes[0].net_connections() if each.status == "LISTEN"
        ]
        assert [address.ip for address in listening] == ["127.0.0.1"]
        greedy = _ask(server, _how(server, model, 0.0), range(6))
        assert len(set(greedy)) == 1
        # transformers heeds a temperature only with do_sample, which the tiny model does not set.
        drawn = _ask(server, _how(server, model, 1.0), range(6))
        assert len(set(drawn)) > 3
        assert _ask(server, _how(server, model, 1.0), range(6)) == drawn
    assert not any(process.is_running() for process in processes)
    assert server.process.poll() is not None


def test_a_models_own_settings_change_no_answer(model, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(model, own)
    file = own / "generation_config.json"
    asked = {"repetition_penalty": 4.0, "do_sample": True, "top_k": 1, "min_p": 0.9}
    file.write_text(json.dumps({**json.loads(file.read_text()), **asked}))

    def answers(folder):
        with serve_locally(str(folder), SETTINGS, log_path=tmp_path / "log") as server:
            hows = [_how(server, str(folder), temperature) for temperature in (0.0, 1.0)]
            return [_ask(server, how, range(4)) for how in hows]

    assert answers(own) == answers(model)


def test_a_model_that_cannot_be_loaded_is_an_error_with_the_servers_last_words(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with (
        pytest.raises(EngineError, match="has ended before it was ready") as caught,
        serve_locally(str(tmp_path), SETTINGS, log_path=tmp_path / "log"),
    ):
        pass
    assert "Error" in caught.value.what  # of the server's traceback
    assert caught.value.where == str(tmp_path / "log")


def test_of_errors_that_follow_from_each_other_the_first_is_shown_too(monkeypatch, tmp_path):
    # As vLLM reports weights that its worker cannot read; between the two stand 200 lines.
    lines = [
        "(Worker pid=7) WARNING 11-28 06:12:44 [utils.py:2] no Error: so far",
        "(Worker pid=7) ERROR 11-28 06:13:26 [executor.py:9] Traceback (most recent call last):",
        "(Worker pid=7) ERROR 11-28 06:13:26 [executor.py:9] a.b.HeaderError: file is cut off",
        *["  File"] * 200,
        "RuntimeError: initialization failed. See root cause above.",
    ]
    command = [sys.executable, "-c", f"raise SystemExit({chr(10).join(lines)!r})"]
    monkeypatch.setattr(local_server, "server_command", lambda *_, **__: command)
    with (
        pytest.raises(EngineError) as caught,
        serve_locally("m", SETTINGS, log_path=tmp_path / "log"),
    ):
        pass
    first, last = caught.value.what.split("its last words")
    assert "its first error:\n    a.b.HeaderError: file is cut off\n" in first
    assert "See root cause above." in last
    assert caught.value.what.count("\n") < 20


def test_a_server_that_is_not_ready_in_time_is_stopped(monkeypatch, tmp_path):
    sleeper = [sys.executable, "-c", "print('loading', flush=True); import time; time.sleep(600)"]
    monkeypatch.setattr(local_server, "server_command", lambda *_, **__: sleeper)
    settings = SETTINGS.model_copy(update={"server_timeout_s": 1.5})
    with (
        pytest.raises(EngineError, match=r"not ready after 1\.5 s") as caught,
        serve_locally("m", settings, log_path=tmp_path / "log"),
    ):
        pass
    assert "loading" in caught.value.what
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if sleeper[2] in (p.info["cmdline"] or [])
    ]


def test_a_port_that_another_process_took_is_not_used(monkeypatch, tmp_path):
    ports = []

    def command(settings, *, port, **_):
        ports.append(port)
        if len(ports) == 1:
            return [sys.executable, "-c", "raise SystemExit('error: address already in use')"]
        return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]

    monkeypatch.setattr(local_server, "server_command", command)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "health").touch()
    with serve_locally("m", SETTINGS, log_path=tmp_path / "log") as server:
        assert server.port == ports[1] != ports[0]


def test_a_healthy_server_of_another_process_is_not_taken_for_ours(monkeypatch, tmp_path):
    # Ours comes to the port a second later than the first question about its health.
    late = "import time; time.sleep(1); raise SystemExit('OSError: Address already in use')"
    monkeypatch.setattr(
        local_server, "server_command", lambda *_, **__: [sys.executable, "-c", late]
    )
    (tmp_path / "health").touch()
    other = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)
    )
    threading.Thread(target=other.serve_forever, daemon=True).start()
    port = other.server_port
    with (
        pytest.raises(EngineError, match=f"port {port} is taken"),
        serve_locally("m", SETTINGS, log_path=tmp_path / "log", port=port),
    ):
        pass
    other.shutdown()
    other.server_close()


def test_bootstrap_records_what_was_served_and_how_fast(model, tmp_path):
    question = tmp_path / "question.txt"
    question.write_text("Hello?\n")
    bootstrap_model(
        model,
        revision=None,
        settings=BootstrapModel(server="transformers", server_device="cpu", max_new_tokens=5),
        question=question,
        output=tmp_path / "bootstrap.json",
        log_path=tmp_path / "log",
    )
    record = json.loads((tmp_path / "bootstrap.json").read_text())
    smoke = record["smoke"]
    assert (record["model"], record["server"]) == (model, "transformers")
    assert smoke["question"] == "Hello?"
    assert smoke["completion_tokens"] == 5
    assert 0 < smoke["first_token_s"] <= smoke["total_s"]
    assert set(record["versions"]) >= {"python", "transformers", "torch"}
    assert record["settings"]["max_new_tokens"] == 5


def test_serve_model_answers_until_it_is_stopped_and_leaves_nothing(model, tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "workflow_scripts/serve_model.py",
            f"--model_path={model}",
            f"--server-log={tmp_path / 'log'}",
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    url = None
    for line in process.stderr:
        if found := re.search(r"base_url (\S+),", line):
            url = found[1]
            break
    assert url, Path(tmp_path / "log").read_text()
    assert urllib.request.urlopen(url.replace("/v1", "/health")).status == 200
    left = psutil.Process(process.pid).children(recursive=True)
    assert len(left) >= 2
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert not psutil.wait_procs(left, timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_vllm_is_asked_with_the_temperature_itself():
    how = Asking("vllm", "m", temperature=0.5, max_new_tokens=9, ends={})
    assert how.body(MESSAGES, seed=3) == {
        "model": "m",
        "messages": MESSAGES,
        "max_tokens": 9,
        "seed": 3,
        "temperature": 0.5,
        "top_p": 1.0,
    }
    assert how.concurrency is None


def test_vllm_that_is_not_installed_is_an_error_with_a_hint():
    settings = ServerSettings(server="vllm")
    with pytest.raises(EngineError, match="needs vllm") as caught:
        server_command(settings, model="m", revision=None, host="127.0.0.1", port=1)
    assert "envs/vllm.yaml" in caught.value.hint


def test_a_server_that_ends_by_itself_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(
        local_server,
        "server_command",
        lambda *_, port, **__: [
            sys.executable,
            "-m",
            "http.server",
            str(port),
            "--bind",
            "127.0.0.1",
        ],
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "health").touch()
    with serve_locally("m", SETTINGS, log_path=tmp_path / "log") as server:
        server.check()
        psutil.Process(server.process.pid).children()[0].kill()
        server.process.wait(60)
        with pytest.raises(EngineError, match="the model's server has ended"):
            server.check()

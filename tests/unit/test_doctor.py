"""Each question of the doctor, answered for machines that lack something."""

import http.server
import threading

import pytest
from support import ROOT

from sluice import doctor
from sluice.config import load_config, load_config_files

MINIMAL = {"datasets": {"a": {"path": "README.md"}}, "models": {"base": {"build": "base"}}}


@pytest.fixture
def server():
    """A server that answers 404 to all; its address."""
    handler = http.server.BaseHTTPRequestHandler
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/v1"
        running.shutdown()


def test_pinned_packages_are_as_pinned_here():
    assert doctor.check_packages({"torch": "2.13.0"}).is_ok
    assert "all 1" in doctor.check_packages({"pytest": pytest.__version__}).told


def test_missing_and_other_packages_are_counted_and_the_first_is_named():
    found = doctor.check_packages({"pytest": "0.1", "no-such": "1.0", "nor-such": "2"})
    assert not found.is_ok
    assert found.told == f"2 missing (no-such ...), 1 differ (pytest {pytest.__version__})"
    assert found.lines()[1].strip() == found.hint


def test_an_answer_of_any_kind_shows_that_a_server_is_there(server):
    assert doctor.check_endpoint(server, key_variable=None).is_ok


def test_a_silent_server_fails_with_a_hint():
    found = doctor.check_endpoint("http://127.0.0.1:9/v1", key_variable=None)
    assert not found.is_ok
    assert "does not answer" in found.told
    assert "base_url" in found.hint


def test_an_empty_key_variable_fails_and_a_key_is_never_shown(server, monkeypatch):
    assert not doctor.check_endpoint(server, key_variable="NO_SUCH_KEY").is_ok
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    found = doctor.check_endpoint(server, key_variable="SOME_KEY")
    assert found.is_ok
    assert "secret" not in "".join(found.lines())


def test_more_memory_or_disk_than_there_is_fails():
    assert doctor.check_memory(needed_mb=1).is_ok
    assert not doctor.check_memory(needed_mb=10**9).is_ok
    assert doctor.check_disk(needed_gb=0.001).is_ok
    assert not doctor.check_disk(needed_gb=1e9).is_ok


def test_needs_are_read_from_the_plan():
    plan = "resources: tmpdir=/tmp, runtime=10, mem_mb=1000\n  resources: mem_mb=8000, gpu=0\n"
    config = load_config(MINIMAL)
    assert doctor.most_memory_mb(plan) == 8000
    assert doctor.most_memory_mb("") == 0
    assert not doctor.needs_gpu(config, plan)
    assert doctor.needs_gpu(config, plan.replace("gpu=0", "gpu=1"))


def test_hub_names_and_servers_come_from_the_configuration():
    values = {
        "datasets": {"a": {"path": "README.md"}, "b": {"hub": "org/data"}},
        "models": {"base": {"build": "base"}, "big": {"path": "org/model"}},
        "suites": {
            "s": {"samples": "README.md", "engine": "openai", "base_url": "http://x/v1"},
            "t": {"samples": "README.md", "engine": "vllm"},
        },
    }
    config = load_config(values)
    assert doctor.hub_names(config) == {"org/data", "org/model"}
    assert doctor.endpoints(config) == {("http://x/v1", "OPENAI_API_KEY")}
    assert doctor.needs_gpu(config, "")


def test_offline_names_that_were_never_downloaded_fail(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    found = doctor.check_hub(["org/never-downloaded-model"])
    assert not found.is_ok
    assert "org/never-downloaded-model" in found.told


def test_files_of_the_configuration_merge_key_by_key(tmp_path):
    (tmp_path / "own.yaml").write_text("selection: {selection_percentage: 0.5}\n")
    config = load_config_files([ROOT / "config.yaml", tmp_path / "own.yaml"])
    assert config.selection.selection_percentage == 0.5
    assert config.gate.warm_up_fraction == 1.0

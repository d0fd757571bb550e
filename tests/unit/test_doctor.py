"""Each question of the doctor, answered for machines that lack something."""

import http.server
import os
import re
import threading

import pytest
from support import ROOT

from sluice import doctor
from sluice.config import load_config, load_config_files
from sluice.doctor import Server
from sluice.errors import SluiceError
from sluice.pins import read_environment_pins

MINIMAL = {"datasets": {"a": {"path": "README.md"}}, "models": {"base": {"build": "base"}}}


def plan_of(*jobs):
    """What a dry-run says of some (rule, resources, wildcards)."""
    return "".join(
        f"rule {rule}:\n    output: x\n    wildcards: {wildcards}\n    resources: {resources}\n"
        for rule, resources, wildcards in jobs
    )


class Models(http.server.BaseHTTPRequestHandler):
    """Lists its models for anybody, as a server without a key does."""

    def do_GET(self):
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.end_headers()

    def log_message(self, *words):
        pass


class NoHttp(http.server.BaseHTTPRequestHandler):
    """Says what no HTTP server says, as one of SSH does."""

    def handle(self):
        self.wfile.write(b"SSH-2.0-x\r\n")


@pytest.fixture(params=[http.server.BaseHTTPRequestHandler])
def server(request):
    """A server that answers with an error to all, or as the test's parameter does; its address."""
    handler = request.param
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


def test_an_answer_of_any_kind_shows_that_a_server_is_there(server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    assert doctor.check_server(Server(server, "SOME_KEY")).is_ok


def test_a_silent_server_fails_with_a_hint(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    found = doctor.check_server(Server("http://127.0.0.1:9/v1", "SOME_KEY"))
    assert not found.is_ok
    assert "does not answer" in found.told
    assert "base_url" in found.hint


@pytest.mark.parametrize("server", [NoHttp], indirect=True)
def test_a_server_of_another_kind_fails_with_a_hint(server):
    found = doctor.check_server(Server(server, "NO_SUCH_KEY"))
    assert not found.is_ok
    assert "does not answer: SSH-2.0-x" in found.told
    assert "base_url" in found.hint


@pytest.mark.parametrize("url", ["http://a b/v1", "http://[::1/v1", "http://a:b@c/v1"])
def test_an_address_that_is_none_fails_with_a_hint(url):
    found = doctor.check_server(Server(url, "NO_SUCH_KEY"))
    assert "does not answer" in found.told
    assert "base_url" in found.hint


def test_an_empty_key_variable_fails_and_a_key_is_never_shown(server, monkeypatch):
    found = doctor.check_server(Server(server, "NO_SUCH_KEY"))
    assert not found.is_ok
    assert "NO_SUCH_KEY is empty" in found.told
    assert found.hint == "export NO_SUCH_KEY=..."
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    found = doctor.check_server(Server(server, "SOME_KEY"))
    assert found.is_ok
    assert "secret" not in "".join(found.lines())


@pytest.mark.parametrize("server", [Models], indirect=True)
def test_a_server_that_answers_anybody_needs_no_key(server):
    assert doctor.check_server(Server(server, "NO_SUCH_KEY")).is_ok
    assert doctor.check_server(Server(f"{server}/", "NO_SUCH_KEY")).is_ok


def test_a_driver_that_cannot_be_asked_is_none(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert doctor._driver() is None


def test_a_silent_server_without_a_key_fails_with_both_hints():
    found = doctor.check_server(Server("http://127.0.0.1:9/v1", "NO_SUCH_KEY"))
    assert "does not answer" in found.told
    assert "NO_SUCH_KEY is empty" in found.told
    assert "export NO_SUCH_KEY" in found.hint
    assert "base_url" in found.hint
    assert len(found.lines()) == 2


@pytest.mark.parametrize("content", [None, "", "two words", "sk-secret sk-other"])
def test_a_key_file_that_holds_no_key_fails_and_is_never_shown(server, tmp_path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    found = doctor.check_server(Server(server, "NO_SUCH_KEY", str(file)))
    assert not found.is_ok
    assert str(file) in found.told
    assert "sk-" not in "".join(found.lines())
    file.write_text("sk-secret\n")
    found = doctor.check_server(Server(server, "NO_SUCH_KEY", str(file)))
    assert found.is_ok
    assert "secret" not in "".join(found.lines())


def test_more_memory_or_disk_than_there_is_fails():
    assert doctor.check_memory(needed_mb=1).is_ok
    assert not doctor.check_memory(needed_mb=10**9).is_ok
    assert "not known" in doctor.check_memory(needed_mb=0).told
    assert doctor.check_disk(needed_gb=0.001).is_ok
    assert not doctor.check_disk(needed_gb=1e9).is_ok


def test_needs_are_read_from_the_plan():
    plan = plan_of(("a", "tmpdir=/tmp, mem_mb=1000", ""), ("b", "mem_mb=8000, gpu=0", ""))
    config = load_config(MINIMAL)
    assert doctor.most_memory_mb(plan) == 8000
    assert doctor.most_memory_mb("") == 0
    assert not doctor.needs_gpu(config, plan)
    assert doctor.needs_gpu(config, plan.replace("gpu=0", "gpu=1"))


def test_a_plan_without_vllm_needs_no_gpu_whatever_else_is_configured():
    config = load_config({**MINIMAL, "flywheel": {"server": "vllm"}})
    assert doctor.names_vllm(config)
    assert doctor.needs_gpu(config, "")
    assert not doctor.needs_gpu(config, plan_of(("select_samples", "mem_mb=1, gpu=0", "")))
    assert doctor.needs_gpu(config, plan_of(("bootstrap_model_with_vllm", "gpu=0", "")))


def test_disk_is_judged_by_what_is_planned(tmp_path):
    """A model of 1 MB that is written three times, and one of two datasets of 1 MB ten times."""
    for name in ("model", "a", "b"):
        (tmp_path / name).write_bytes(b"0" * 1_000_000)
    paths = {name: {"path": str(tmp_path / name)} for name in ("model", "a", "b")}
    model = paths.pop("model")
    config = load_config({"datasets": paths, "models": {"m": model}, "gate": {"model": "m"},
                          "flywheel": {"model": "m"}})  # fmt: skip
    rules = ("convert_checkpoint", "fine_tune_turn", "merge_turn", "score_samples")
    plan = plan_of(("convert_dataset", "", "dataset=a"), *((rule, "", "") for rule in rules))
    assert doctor.disk_need_gb(config, plan) == pytest.approx(2.0 + 0.003 + 0.010)
    assert doctor.disk_need_gb(config, "") == pytest.approx(2.0 + 0.004 + 0.020)


def test_the_wanted_targets_are_planned_and_a_failure_is_one_finding(monkeypatch):
    asked = []

    def ask(*words, what):
        asked.append(words)
        if "no/such.json" in words:
            raise SluiceError(
                f"snakemake cannot {what}",
                hint="Host: x\nBuilding DAG of jobs...\nMissingRuleException:\nno rule",
            )
        return plan_of(("a", "", ""))

    monkeypatch.setattr(doctor, "ask_snakemake", ask)
    plan, found = doctor.plan_run(["turn.json"], ["--configfile", "own.yaml"])
    assert asked[0][-4:] == ("--configfile", "own.yaml", "--", "turn.json")
    assert (plan, found.told) == (plan_of(("a", "", "")), "1 jobs for turn.json")
    plan, found = doctor.plan_run(["no/such.json"])
    assert (plan, found.is_ok) == ("", False)
    assert found.lines()[1].strip() == "snakemake: MissingRuleException: no rule"


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
    assert doctor.endpoints(config) == {Server("http://x/v1", "OPENAI_API_KEY")}
    assert doctor.needs_gpu(config, "")


def test_servers_of_the_flywheel_count_and_the_built_in_one_does_not():
    config = load_config_files([ROOT / "config.yaml"])
    assert doctor.endpoints(config) == set()
    config = load_config_files([ROOT / "config.yaml", ROOT / "configs" / "flywheel_vllm.yaml"])
    assert doctor.endpoints(config) == {
        Server("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
        Server("https://api.openai.com/v1", "OPENAI_API_KEY"),
    }
    judge = {"base_url": "http://x/v1", "api_key_file": "/run/key"}
    config = load_config({**MINIMAL, "llm": {"judge": judge}})
    assert doctor.endpoints(config) == {Server("http://x/v1", "OPENAI_API_KEY", "/run/key")}


def test_packages_with_an_environment_of_their_own_are_there_or_can_be_had(monkeypatch):
    pins = {"no-such": "1.0"}
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    found = doctor.check_apart("vLLM", pins, main="no-such")
    assert not found.is_ok
    assert "no-such==1.0" in found.hint
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/bin/{name}")
    assert doctor.check_apart("vLLM", pins, main="no-such").is_ok
    found = doctor.check_apart("MLflow", {"pytest": "0.1"}, main="pytest")
    assert (found.subject, found.is_ok) == ("MLflow", False)
    assert "pytest==0.1" in found.hint
    assert doctor.check_apart("MLflow", {"pytest": pytest.__version__}, main="pytest").is_ok


def test_pins_of_an_environment_are_those_of_its_file(tmp_path):
    assert read_environment_pins(ROOT / "envs" / "vllm.yaml")["vllm"][0].isdigit()
    for content in ("dependencies: [{pip: [vllm]}]", "[]", "dependencies: 3", "a: ["):
        (tmp_path / "e.yaml").write_text(content)
        with pytest.raises(SluiceError):
            read_environment_pins(tmp_path / "e.yaml")


def test_a_tracking_server_is_asked_and_a_file_must_be_writable(server, tmp_path, monkeypatch):
    assert doctor.check_store(server).is_ok
    found = doctor.check_store("http://127.0.0.1:9")
    assert not found.is_ok
    assert "tracking.enabled: false" in found.hint
    assert doctor.check_store(f"sqlite:///{tmp_path}/not/yet/mlflow.db").is_ok
    monkeypatch.setattr(doctor.os, "access", lambda folder, mode: False)
    assert not doctor.check_store(f"sqlite:///{tmp_path}/not/yet/mlflow.db").is_ok


def test_every_section_of_the_readme_that_a_hint_names_is_there():
    headings = re.findall(r"^## (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    text = "".join(file.read_text() for file in (ROOT / "workflow_scripts").rglob("*.py"))
    named = re.findall(r"README(?:\.md)?, '(.+?)'", text)
    assert named
    assert set(named) <= set(headings)


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

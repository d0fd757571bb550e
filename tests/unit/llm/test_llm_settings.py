"""Endpoints in the configuration, and where their keys may be."""

import pytest
import yaml
from pydantic import ValidationError

from sluice.config import load_config
from sluice.errors import ConfigError
from sluice.llm.access import access_to, read_key
from sluice.llm.client import NO_KEY
from sluice.settings.llm import Endpoint, Judge

KEY = "sk-do-not-tell-anyone-4711"
MINIMAL = {"datasets": {"d": {"path": "d.jsonl"}}, "models": {"base": {"build": "base"}}}


def _load(llm, folder, **more):
    values = {**MINIMAL, "llm": llm, **more}
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(values))
    return load_config(values, files=[file])


@pytest.mark.parametrize(
    ("llm", "path"),
    [
        ({"judge": {"api_key": KEY}}, "llm.judge.api_key"),
        ({"judge": {"api_key": "anything at all"}}, "llm.judge.api_key"),
        ({"judge": {"token": "t"}}, "llm.judge.token"),
        ({"judge": {"api_key_env": KEY}}, "llm.judge.api_key_env"),
        ({"simulator": {"model": "hf_abcdefghijklmnopqrstuv"}}, "llm.simulator.model"),
        ({"judge": {"base_url": f"https://x.org/v1?key={KEY}"}}, "llm.judge.base_url"),
    ],
)
def test_a_key_in_the_configuration_is_refused_and_not_shown(tmp_path, llm, path):
    with pytest.raises(ConfigError) as caught:
        _load(llm, tmp_path)
    assert caught.value.what == f"'{path}' holds an API key"
    assert caught.value.where == str(tmp_path / "mine.yaml")
    assert "api_key_env" in caught.value.hint
    assert KEY not in str(caught.value)


def test_a_key_on_the_command_line_of_a_script_is_refused_and_not_shown():
    with pytest.raises(ConfigError, match="'model' holds an API key") as caught:
        Judge(model=KEY)
    assert KEY not in str(caught.value)


def test_ordinary_values_are_no_keys(tmp_path):
    config = _load({"judge": {"base_url": "https://api.deepseek.com/v1", "model": "v3"}}, tmp_path)
    assert config.llm.judge.model == "v3"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://x.org/v1/chat/completions", "https://x.org/v1"),
        ("https://x.org/v1/chat/completions/", "https://x.org/v1"),
        (" https://x.org/v1/ ", "https://x.org/v1"),
        ("offline", "offline"),
    ],
)
def test_address_is_cut_to_what_the_client_needs(given, kept):
    assert Endpoint(base_url=given, model="m").base_url == kept


@pytest.mark.parametrize("address", ["https://me:s3cret@x.org/v1", "https://s3cret@x.org/v1"])
def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path, address):
    task = {"model": "base", "prompts": "p.jsonl", "engine": "openai", "base_url": address}
    for values in ({"llm": {"judge": {"base_url": address}}}, {"tasks": {"t": task}}):
        with pytest.raises(ConfigError, match="without user and password") as caught:
            load_config({**MINIMAL, **values})
        assert "s3cret" not in str(caught.value)


def test_an_address_without_scheme_is_refused():
    with pytest.raises(ValidationError, match="http"):
        Endpoint(base_url="x.org/v1", model="m")


def test_one_model_for_judge_and_evaluator_must_be_said_aloud(tmp_path):
    same = {"base_url": "https://x.org/v1", "model": "m"}
    llm = {"judge": same, "evaluator": {**same, "base_url": "https://x.org/v1/chat/completions"}}
    with pytest.raises(ConfigError, match="are the same model, 'm'"):
        _load(llm, tmp_path)
    assert _load(llm, tmp_path, flywheel={"allow_same_judge": True}).llm.judge.model == "m"


def test_key_comes_from_its_file_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "from-environment\n")
    assert read_key(Endpoint(model="m", api_key_env="MY_KEY")) == "from-environment"
    file = tmp_path / "key"
    file.write_text("from-file\n")
    endpoint = Endpoint(model="m", api_key_env="MY_KEY", api_key_file=str(file))
    assert access_to(endpoint).key == "from-file"
    assert read_key(Endpoint(model="m", api_key_env="NOT_SET_AT_ALL")) == NO_KEY


@pytest.mark.parametrize("content", ["two words", "kéy", "a\x1bb"])
def test_variable_without_one_key_is_refused_and_not_shown(content, monkeypatch):
    monkeypatch.setenv("MY_KEY", content)
    with pytest.raises(ConfigError, match="variable MY_KEY does not hold one key") as caught:
        read_key(Endpoint(model="m", api_key_env="MY_KEY"))
    assert content not in str(caught.value)


@pytest.mark.parametrize("content", ["", "two words", "kéy", None])
def test_file_without_one_key_is_refused(tmp_path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match="api_key_file"):
        read_key(Endpoint(model="m", api_key_file=str(file)))


def test_key_file_inside_of_the_repository_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_text("abc")
    with pytest.raises(ConfigError, match="inside of"):
        read_key(Endpoint(model="m", api_key_file="key"))


def test_the_offline_server_is_never_told_a_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    access = access_to(Endpoint(model="offline-judge"), base_url="http://127.0.0.1:1/v1")
    assert access.key == NO_KEY

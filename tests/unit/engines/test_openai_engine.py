"""The openai engine against a real HTTP server on this machine."""

import json
import logging
import threading

import pytest
from local_server import LocalServer, Reply, completion
from support import ROOT

from sluice.engines.building import make_engine
from sluice.engines.engine import Completion, Request, Sampling
from sluice.engines.openai_engine import connect
from sluice.errors import ConfigError, EngineError
from sluice.records import Message
from sluice.settings.engine import EngineSettings

KEY = "sk-do-not-tell-anyone-4711"
SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=50)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)


def _requests(count):
    return [Request((Message(role="user", content=f"number {n}"),), 100 + n) for n in range(count)]


def _echo(number, body):
    return completion(f"echo {body['messages'][-1]['content']}")


def _engine(server, folder, *, output=None, **settings):
    settings = {"api_key_env": "TEST_KEY", "base_url": server.url, "timeout_s": 20, **settings}
    return connect(
        EngineSettings(engine="openai", **settings),
        model="m",
        output=output,
        answer_cache=folder / "cache",
        first_wait_s=0.01,
    )


def _generate(engine, requests, **kwargs):
    return dict(engine.generate(requests, sampling=SAMPLING, **kwargs))


def _first(*replies):
    """The first requests get these replies, in turn; all others are echoed."""

    def answer(number, body):
        return replies[number] if number < len(replies) else _echo(number, body)

    return answer


def test_every_request_gets_its_own_answer(tmp_path):
    with LocalServer(_echo) as server:
        answers = _generate(_engine(server, tmp_path), _requests(100))
    assert answers == {n: Completion(f"echo number {n}", 7, "stop") for n in range(100)}


def test_request_says_what_was_asked_for(tmp_path):
    with LocalServer(_echo) as server:
        _generate(_engine(server, tmp_path), _requests(1))
    assert server.requests == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "number 0"}],
            "temperature": 0.7,
            "top_p": 0.9,
            "max_tokens": 50,
            "seed": 100,
        }
    ]
    assert server.keys == [f"Bearer {KEY}"]


def test_no_more_requests_are_under_way_than_allowed(tmp_path):
    three_are_there = threading.Barrier(3, timeout=20)

    def answer(number, body):
        three_are_there.wait()
        return _echo(number, body)

    with LocalServer(answer) as server:
        _generate(_engine(server, tmp_path, concurrency=3), _requests(12))
    assert server.most_at_once == 3


def test_skipped_requests_are_not_sent(tmp_path):
    with LocalServer(_echo) as server:
        answers = _generate(_engine(server, tmp_path), _requests(5), skip={0, 3})
    assert sorted(answers) == [1, 2, 4]
    assert len(server.requests) == 3


TRANSIENT = {
    "too many requests": Reply(429, b'{"error": {"message": "slow down"}}'),
    "server error": Reply(500, b'{"error": {"message": "oops"}}'),
    "overloaded": Reply(503, b"no JSON at all"),
    "malformed JSON": Reply(200, b'{"choices": [{"mess'),
    "JSON of something else": Reply(200, b'{"hello": 1}'),
    "no choices": Reply(200, b'{"choices": [], "usage": {"completion_tokens": 1}}'),
    "a page instead of JSON": Reply(200, b"<html>", {"Content-Type": "text/html"}),
    "no text": completion(None),
    "connection lost": Reply(is_hung_up=True),
}


@pytest.mark.parametrize("reply", TRANSIENT.values(), ids=TRANSIENT)
def test_transient_error_is_retried(tmp_path, caplog, reply):
    with LocalServer(_first(reply, reply)) as server, caplog.at_level(logging.WARNING):
        answers = _generate(_engine(server, tmp_path), _requests(1))
    assert answers[0].text == "echo number 0"
    assert len(server.requests) == 3
    waits = [record.message for record in caplog.records if "again in" in record.message]
    assert len(waits) == 2


def test_time_out_is_retried(tmp_path):
    slow = Reply(**{**vars(completion("late")), "delay_s": 3.0})
    with LocalServer(_first(slow)) as server:
        answers = _generate(_engine(server, tmp_path, timeout_s=0.5), _requests(1))
    assert answers[0].text == "echo number 0"
    assert len(server.requests) == 2


def test_error_that_stays_ends_the_run_after_the_last_retry(tmp_path):
    always = Reply(500, b'{"error": {"message": "oops"}}')
    with (
        LocalServer(lambda number, body: always) as server,
        pytest.raises(EngineError, match=r"no answer \(3 attempts\): InternalServerError.*oops"),
    ):
        _generate(_engine(server, tmp_path, max_retries=2), _requests(1))
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "hint"),
    [(400, "run again"), (401, "TEST_KEY"), (403, "TEST_KEY"), (404, "base_url"), (422, "again")],
)
def test_other_errors_end_the_run_at_once_with_a_hint(tmp_path, status, hint):
    reply = Reply(status, b'{"error": {"message": "no"}}')
    with (
        LocalServer(lambda number, body: reply) as server,
        pytest.raises(EngineError, match=hint) as caught,
    ):
        _generate(_engine(server, tmp_path, concurrency=1), _requests(3))
    assert len(server.requests) == 1
    assert caught.value.where.startswith(server.url)


def test_an_empty_account_is_not_waited_for(tmp_path):
    reply = Reply(429, b'{"error": {"message": "pay", "code": "insufficient_quota"}}')
    with (
        LocalServer(lambda number, body: reply) as server,
        pytest.raises(EngineError, match="pay"),
    ):
        _generate(_engine(server, tmp_path), _requests(1))
    assert len(server.requests) == 1


def test_server_that_is_not_there_is_an_error(tmp_path):
    with LocalServer(_echo) as server:
        pass
    with pytest.raises(EngineError, match="APIConnectionError"):
        _generate(_engine(server, tmp_path, max_retries=1), _requests(1))


def test_answers_are_kept_and_not_asked_for_again(tmp_path):
    requests = _requests(6)
    with LocalServer(_echo) as server:
        first = _generate(_engine(server, tmp_path), requests)
        again = _generate(_engine(server, tmp_path), requests)
        assert first == again
        assert len(server.requests) == 6
        other = [Request(requests[0].messages, 7)]
        _generate(_engine(server, tmp_path), other)
        list(_engine(server, tmp_path).generate(requests[:1], sampling=Sampling(0, 1, 50)))
    assert len(server.requests) == 8  # another seed and another sampling are other requests


def test_answers_before_a_failure_are_kept(tmp_path):
    fatal = Reply(400, b"{}")

    def answer(number, body):
        return fatal if number == 4 else _echo(number, body)

    with LocalServer(answer) as server:
        with pytest.raises(EngineError):
            _generate(_engine(server, tmp_path, concurrency=1), _requests(8))
        answers = _generate(_engine(server, tmp_path, concurrency=1), _requests(8))
    assert len(answers) == 8
    assert len(server.requests) == 5 + 4


def test_budget_of_requests_stops_the_run_and_a_larger_one_goes_on(tmp_path):
    with LocalServer(_echo) as server:
        engine = _engine(server, tmp_path, max_requests=5, concurrency=2)
        with pytest.raises(EngineError, match="the budget is spent: 5 requests of 5"):
            _generate(engine, _requests(8))
        assert len(server.requests) <= 5
        answers = _generate(_engine(server, tmp_path, max_requests=8), _requests(8))
    assert len(answers) == 8
    assert len(server.requests) <= 8 + 1  # one may have been under way when the budget was spent


def test_budget_of_requests_counts_retries(tmp_path):
    always = Reply(500, b"{}")
    with (
        LocalServer(lambda number, body: always) as server,
        pytest.raises(EngineError, match="budget is spent: 4 requests"),
    ):
        _generate(_engine(server, tmp_path, max_requests=4, max_retries=50), _requests(1))
    assert len(server.requests) == 4


def test_budget_of_tokens_stops_the_run(tmp_path):
    with LocalServer(_echo) as server:
        engine = _engine(server, tmp_path, max_billed_tokens=40, concurrency=1)
        with pytest.raises(EngineError, match="the budget is spent: 54 tokens of 40"):
            _generate(engine, _requests(8))
    assert len(server.requests) == 3  # 18 tokens each
    assert (engine.spending.num_prompt_tokens, engine.spending.num_completion_tokens) == (33, 21)


def test_budget_in_money_holds_for_all_runs_of_an_output(tmp_path, caplog):
    # An echo is billed 11 prompt tokens and 7 completion tokens.
    prices = {"price_per_million_input": 1e6, "price_per_million_output": 2e6}
    asking = {**prices, "max_cost": 60, "concurrency": 1}
    output, other = tmp_path / "a.json", tmp_path / "b.json"
    spent = r"the budget is spent: 75\.0000 of the price's currency of 60\.0000"
    with LocalServer(_echo) as server:
        with pytest.raises(EngineError, match=spent):
            _generate(_engine(server, tmp_path, output=output, **asking), _requests(8))
        assert len(server.requests) == 3
        with pytest.raises(EngineError, match=f"{spent}; 75.0000 in earlier runs") as caught:
            _generate(_engine(server, tmp_path, output=output, **asking), _requests(8))
        assert len(server.requests) == 3
        assert "max_cost" in caught.value.hint
        # Answers are kept whatever is made of them; the budget is each output's own.
        _generate(_engine(server, tmp_path, output=other, **asking), _requests(5))
        assert len(server.requests) == 5
        with caplog.at_level(logging.INFO, logger="sluice"):
            more = {**asking, "max_cost": 150}
            _generate(_engine(server, tmp_path, output=output, **more), _requests(8))
    assert len(server.requests) == 8
    assert "3 requests sent, 33 prompt tokens, 21 completion tokens, 75.0000 spent" in caplog.text


def test_budget_of_requests_holds_for_all_runs_of_an_output(tmp_path):
    asking = {"output": tmp_path / "a.json", "max_requests": 2, "concurrency": 1}
    with LocalServer(_echo) as server:
        for _ in range(3):
            with pytest.raises(EngineError, match="the budget is spent: 2 requests of 2"):
                _generate(_engine(server, tmp_path, **asking), _requests(4))
    assert len(server.requests) == 2


def test_reasoning_comes_in_a_think_block(tmp_path):
    replies = [
        completion("7", reasoning_content="3+4"),
        completion("8", reasoning="4+4"),
        completion(None, finish_reason="length", reasoning_content="still"),
    ]
    with LocalServer(_first(*replies)) as server:
        answers = _generate(_engine(server, tmp_path, concurrency=1), _requests(3))
    assert [answers[n].text for n in range(3)] == [
        "<think>3+4</think>7",
        "<think>4+4</think>8",
        "<think>still</think>",
    ]
    assert answers[2].finish_reason == "length"


def test_half_a_surrogate_pair_does_not_get_into_a_file(tmp_path):
    with LocalServer(_first(completion("a\ud800b"))) as server:
        answers = _generate(_engine(server, tmp_path), _requests(1))
    assert answers[0].text == "a?b"


def test_key_reaches_neither_log_nor_cache_nor_error(tmp_path, caplog):
    # A spiteful server quotes the key in every answer.
    quote = json.dumps({"error": {"message": f"bad key {KEY}"}}).encode()
    with LocalServer(_first(Reply(500, quote), completion(f"your key is {KEY}"))) as server:
        with caplog.at_level(logging.DEBUG, logger="sluice"):
            answers = _generate(_engine(server, tmp_path), _requests(1))
        assert answers[0].text == "your key is [key]"
        assert KEY not in caplog.text
        assert "[key]" in caplog.text
    cached = b"".join(file.read_bytes() for file in (tmp_path / "cache").iterdir())
    assert b"your key is" in cached
    assert KEY.encode() not in cached
    with LocalServer(lambda number, body: Reply(401, quote)) as server:
        with pytest.raises(EngineError) as caught:
            _generate(_engine(server, tmp_path), _requests(1))
        assert "bad key [key]" in str(caught.value)
        assert KEY not in str(caught.value)


def test_server_of_ones_own_needs_no_key(tmp_path):
    with LocalServer(_echo) as server:
        _generate(_engine(server, tmp_path, api_key_env="NOT_SET_AT_ALL"), _requests(1))
    assert server.keys == ["Bearer none"]


def test_white_space_around_a_key_is_no_part_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_KEY", f" {KEY}\n")
    with LocalServer(_echo) as server:
        _generate(_engine(server, tmp_path), _requests(1))
    assert server.keys == [f"Bearer {KEY}"]


def test_key_may_stand_in_a_file_outside_of_the_repository(tmp_path):
    file = tmp_path / "key"
    file.write_text("sk-of-a-file\n")
    with LocalServer(_echo) as server:
        _generate(_engine(server, tmp_path, api_key_file=str(file)), _requests(1))
        assert server.keys == ["Bearer sk-of-a-file"]
        with pytest.raises(ConfigError, match="inside of"):
            _engine(server, tmp_path, api_key_file=str(ROOT / "key"))


def test_address_may_be_that_of_the_requests(tmp_path):
    with LocalServer(_echo) as server:
        address = f"{server.url}/chat/completions/"
        answers = _generate(_engine(server, tmp_path, base_url=address), _requests(2))
    assert answers[1].text == "echo number 1"


def test_missing_key_for_openai_itself_is_an_error(tmp_path):
    settings = EngineSettings(engine="openai", api_key_env="NOT_SET_AT_ALL")
    with pytest.raises(EngineError, match="NOT_SET_AT_ALL holds no key"):
        make_engine(settings, model="m", answer_cache=tmp_path)


def test_engine_is_chosen_by_the_settings(tmp_path):
    with LocalServer(_echo) as server:
        settings = EngineSettings(engine="openai", base_url=server.url, api_key_env="TEST_KEY")
        engine = make_engine(settings, model="m", answer_cache=tmp_path)
        assert _generate(engine, _requests(2))[1].text == "echo number 1"

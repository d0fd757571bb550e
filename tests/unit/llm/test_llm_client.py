"""The client of OpenAI-compatible servers, against real HTTP servers on this machine."""

import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import httpx2
import openai
import pytest
from local_server import LocalServer, Reply, completion
from support import ROOT

from sluice.errors import EngineError
from sluice.llm.cache import FILE_NAME, AnswerCache
from sluice.llm.client import Access, ChatClient, RequestError
from sluice.llm.replies import Reply as Answer
from sluice.llm.replies import Usage, read_usage
from sluice.llm.spending import Budget, Prices
from sluice.llm.waiting import LONGEST_WISH_S, wait_s, wished_wait_s

KEY = "sk-do-not-tell-anyone-4711"


def _echo(number, body):
    return completion(f"echo {body['messages'][-1]['content']}")


def _body(text, **more):
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def _ask(access, *bodies, cache=None):
    """What comes of each request: an answer or an error."""

    async def work():
        async with ChatClient(access, cache=cache) as client:
            work = [client.ask(body) for body in bodies]
            return client, await asyncio.gather(*work, return_exceptions=True)

    return asyncio.run(work())


def _access(server, **more):
    return Access(server.url, **{"timeout_s": 20.0, "first_wait_s": 0.01, **more})


def _error(headers):
    request = httpx2.Request("POST", "http://x")
    response = httpx2.Response(429, headers=headers, request=request)
    return openai.RateLimitError("slow", response=response, body=None)


@pytest.mark.parametrize(
    ("attempt", "low", "high"), [(0, 1, 2), (1, 2, 4), (3, 8, 16), (40, 30, 60)]
)
def test_wait_doubles_with_jitter_up_to_a_minute(attempt, low, high):
    wished_s = wished_wait_s(ValueError())
    waits = [wait_s(attempt, first_wait_s=2.0, wished_s=wished_s) for _ in range(200)]
    assert low <= min(waits) <= max(waits) <= high
    assert len(set(waits)) > 100


@pytest.mark.parametrize(
    ("attempt", "wished_s", "least", "most"),
    [(0, 7, 7, 7.7), (0, 0.2, 0.25, 0.7), (0, 300, 300, 330), (6, 20, 20, 32)],
)
def test_a_longer_wait_that_the_server_wishes_is_kept_with_jitter_on_top(
    attempt, wished_s, least, most
):
    waits = [wait_s(attempt, first_wait_s=0.5, wished_s=wished_s) for _ in range(200)]
    assert least <= min(waits) <= max(waits) <= most
    assert len(set(waits)) > 100


@pytest.mark.parametrize(
    ("said", "wished_s"),
    [
        ("7", 7), (" 120 ", 120), ("1.5", 1.5), ("-3", 0), ("nan", 0), ("", 0), ("soon", 0),
        ("Wed, 21 Oct 2026", 0), ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
    ],
)  # fmt: skip
def test_seconds_that_a_server_asks_for(said, wished_s):
    assert wished_wait_s(_error({"retry-after": said})) == wished_s


@pytest.mark.parametrize(
    "form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
)
def test_a_date_that_a_server_names_is_waited_for(form):
    date = (datetime.now(UTC) + timedelta(seconds=300)).strftime(form)
    # The date has whole seconds, and the test itself takes a moment.
    assert 240 < wished_wait_s(_error({"retry-after": date})) <= 300


@pytest.mark.parametrize("is_date", [False, True])
def test_a_wait_beyond_the_limit_ends_the_run_and_is_named(is_date):
    moment = datetime.now(UTC) + timedelta(seconds=7200)
    said = format_datetime(moment, usegmt=True) if is_date else "7200"
    reply = Reply(429, b'{"error": {"message": "later"}}', {"Retry-After": said})
    with LocalServer(lambda number, body: reply) as server:
        _, (error,) = _ask(_access(server), _body("a"))
    assert isinstance(error, EngineError)
    assert not isinstance(error, RequestError), "no other request would do better"
    assert re.match(r"the server asks to wait 7,\d{3} s: RateLimitError", error.what)
    assert f"{LONGEST_WISH_S:g} s" in error.expected
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "is_fatal"), [(400, 0), (422, 0), (401, 1), (402, 1), (403, 1), (404, 1)]
)
def test_a_refused_request_is_told_from_a_server_that_refuses_all(status, is_fatal):
    reply = Reply(status, b'{"error": {"message": "no"}}')
    with LocalServer(lambda number, body: reply) as server:
        _, (error,) = _ask(_access(server), _body("hello"))
    assert isinstance(error, EngineError)
    assert isinstance(error, RequestError) is not bool(is_fatal)
    assert len(server.requests) == 1


def test_the_place_is_free_while_a_request_waits_for_its_next_attempt():
    def answer(number, body):
        return Reply(429, b"{}", {"retry-after": "1"}) if number == 0 else _echo(number, body)

    ended = []

    async def work(server):
        async with ChatClient(_access(server, concurrency=1)) as client:

            async def ask(text):
                await client.ask(_body(text))
                ended.append(text)

            await asyncio.gather(ask("first"), ask("second"))

    with LocalServer(answer) as server:
        asyncio.run(work(server))
    assert ended == ["second", "first"]
    assert server.most_at_once == 1


def test_a_kept_answer_needs_the_very_same_request(tmp_path):
    cache = AnswerCache(tmp_path)
    with LocalServer(_echo) as server:
        access = _access(server)
        _, first = _ask(access, _body("a", seed=1), cache=cache)
        client, again = _ask(access, _body("a", seed=1), cache=AnswerCache(tmp_path))
        assert again == first
        assert (client.spending.num_requests, client.num_kept) == (0, 1)
        assert client.spending.num_tokens == 0
        assert client.answered == Usage(11, 7), "what it is worth, whenever it was paid for"
        others = [_body("a", seed=2), _body("a", seed=1, response_format={}), _body("b", seed=1)]
        _ask(access, *others, cache=cache)
    assert len(server.requests) == 4


def test_an_identity_stands_for_an_address_that_changes(tmp_path):
    num_asked = []
    for identity in ("one", "one", "two"):
        with LocalServer(_echo) as server:
            _ask(_access(server, identity=identity), _body("a"), cache=AnswerCache(tmp_path))
        num_asked.append(len(server.requests))
    assert num_asked == [1, 0, 1]


def test_budget_in_money_is_checked_before_each_request():
    # 11 tokens in, 7 out: 11 x 2 + 7 x 10 = 92 millionths a request.
    prices = Prices(per_million_input=2.0, per_million_output=10.0)
    budget = Budget(max_cost=0.0002)
    with LocalServer(_echo) as server:
        access = _access(server, prices=prices, budget=budget, concurrency=1)
        client, answers = _ask(access, *(_body(str(n)) for n in range(5)))
    assert len(server.requests) == 3  # 92, 184, then 276 are spent
    assert client.spending.cost == pytest.approx(0.000276)
    errors = [each for each in answers if isinstance(each, EngineError)]
    assert len(errors) == 2
    assert "the budget is spent: 0.0003" in errors[0].what


def test_answers_that_cannot_be_used_are_paid_from_the_budget():
    access = {"prices": Prices(2.0, 10.0), "budget": Budget(max_cost=0.0002), "max_retries": 50}
    with LocalServer(lambda number, body: completion(None)) as server:
        client, (error,) = _ask(_access(server, **access), _body("a"))
    assert "the budget is spent" in error.what
    assert len(server.requests) == 3
    assert client.spending.cost == pytest.approx(0.000276)
    assert client.answered == Usage(0, 0)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 11, "completion_tokens": 7}, (11, 7)),
        ({"prompt_tokens": "11", "completion_tokens": None}, (11, 0)),
        ({"prompt_tokens": -11, "completion_tokens": float("inf")}, (0, 0)),
        ({"prompt_tokens": [1], "completion_tokens": "many"}, (0, 0)),
        ({}, (0, 0)),
    ],
)
def test_tokens_are_counted_as_far_as_the_server_says_them(usage, counted):
    assert read_usage(SimpleNamespace(usage=SimpleNamespace(**usage))) == Usage(*counted)
    assert read_usage("no answer at all") == Usage(0, 0)


def test_a_refusal_is_an_answer_without_text():
    with LocalServer(lambda number, body: completion(None, refusal="I may not.")) as server:
        _, (answer,) = _ask(_access(server), _body("a"))
    assert (answer.text, answer.refusal) == ("", "I may not.")


@pytest.mark.parametrize("count", ["1e999", "-1e999", "NaN", "-7"])
def test_an_answer_with_an_impossible_number_of_tokens_is_asked_for_again(count):
    odd = completion("a").body.replace(b'"completion_tokens": 7', b'"completion_tokens": %b')

    def answer(number, body):
        return Reply(body=odd % count.encode()) if number == 0 else _echo(number, body)

    with LocalServer(answer) as server:
        _, (reply,) = _ask(_access(server), _body("a"))
    assert reply == Answer("echo a", 11, 7)


@pytest.mark.parametrize("content", [["a"], {"text": "a"}, 3, "x" * 1_000_001])
def test_an_answer_of_the_wrong_kind_is_asked_for_again(content):
    def answer(number, body):
        return completion(content) if number < 2 else _echo(number, body)

    with LocalServer(answer) as server:
        _, (reply,) = _ask(_access(server), _body("a"))
    assert reply.text == "echo a"
    assert len(server.requests) == 3


def test_key_in_a_refusal_or_an_error_is_not_shown():
    spiteful = json.dumps({"error": {"message": "x" * 280 + KEY}}).encode()
    with LocalServer(lambda number, body: Reply(400, spiteful)) as server:
        _, (error,) = _ask(_access(server, key=KEY), _body("a"))
    assert "sk-do" not in str(error)
    with LocalServer(lambda number, body: completion(None, refusal=f"not with {KEY}")) as server:
        _, (answer,) = _ask(_access(server, key=KEY), _body("a"))
    assert answer.refusal == "not with [key]"


def test_a_file_that_is_no_cache_is_an_error_with_a_hint(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"not a database, but long enough to look at" * 30)
    with pytest.raises(EngineError, match="kept answers cannot be used") as caught:
        AnswerCache(tmp_path)
    assert "delete it" in caught.value.hint


def test_answers_outlive_a_killed_process_and_two_may_write_at_once(tmp_path):
    script = (
        "import sys; from pathlib import Path; from sluice.llm.cache import AnswerCache\n"
        "from sluice.llm.replies import Reply\n"
        "cache = AnswerCache(Path(sys.argv[1]))\n"
        "for n in range(100000):\n"
        "    cache.add(f'{sys.argv[2]}{n}', Reply(str(n), 1, 1)); print(n, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), name],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    told = {}
    for writer, name in zip(writers, "ab", strict=True):
        told[name] = [int(writer.stdout.readline()) for _ in range(20)]
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    cache = AnswerCache(tmp_path)
    for name, numbers in told.items():
        assert [cache.get(f"{name}{n}") for n in numbers] == [Answer(str(n), 1, 1) for n in numbers]
    check = sqlite3.connect(tmp_path / FILE_NAME).execute("PRAGMA integrity_check").fetchone()
    assert check == ("ok",)

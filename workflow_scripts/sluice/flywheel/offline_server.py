"""The built-in OpenAI-compatible server: user and judges of the built-in run, without a network.

No language model, but rules that know the built-in world (`offline_roles`). It is asked over HTTP
by the same client as any other server. Told so, it also fails as real ones do (`offline_faults`).
"""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sluice.files import hash_file
from sluice.flywheel.offline_faults import NO_FAULTS, Answer, Faults
from sluice.flywheel.offline_law import Law, read_law
from sluice.flywheel.offline_roles import Refusal, judge_answer, play_model, play_user

MODELS = ("offline-user", "offline-judge", "offline-evaluator", "offline-model")
_OWN_FILES = ("offline_roles.py", "offline_law.py", "messages.py")


class _Listener(ThreadingHTTPServer):
    """Takes many connections at once: with the usual queue of 5, a burst of 32 is refused."""

    daemon_threads = True
    request_queue_size = 512


class OfflineServer:
    """Listens on a free port of this machine while the ``with`` block runs.

    Args:
        law_path: the built-in world's law book, cases.json.
        faults: how often, and in which ways, it fails.
    Raises:
        DataError: the law book cannot be read.
    """

    def __init__(self, law_path: Path, *, faults: Faults = NO_FAULTS) -> None:
        law = read_law(law_path)
        self.identity = f"offline:{_code_hash()}:{hash_file(law_path)}"
        self.num_requests = 0
        self._faults = faults
        self._roles: dict[str, Callable[[Mapping[str, Any]], str]] = {
            "offline-user": lambda body: play_user(body["messages"], law),
            "offline-judge": lambda body: _judge(body, law, errs=True),
            "offline-evaluator": lambda body: _judge(body, law, errs=False),
            "offline-model": lambda body: play_model(body["messages"], law),
        }
        self._lock = threading.Lock()
        self._http = _Listener(("127.0.0.1", 0), self._handler())

        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body leave together: kept apart they cost a round trip of 40 ms.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server._reply(self, server._answer(self.path, body))

            def log_message(self, format: str, *args: Any) -> None:
                """Keeps quiet; the client logs what matters."""

        return Handler

    def _answer(self, path: str, raw: bytes) -> Answer:
        with self._lock:
            number = self.num_requests
            self.num_requests += 1
        try:
            body = json.loads(raw)
            model, messages = body["model"], body["messages"]
            prompt = "".join(str(each["content"]) for each in messages)
        except (ValueError, KeyError, TypeError):
            return _error(400, "not a chat completion request")
        if not path.endswith("/chat/completions") or model not in self._roles:
            return _error(404, f"no model '{model}' here; there are {', '.join(MODELS)}")
        try:
            answer = _completion(model, prompt, text=self._roles[model](body))
        except Refusal as refusal:
            answer = _completion(model, prompt, refusal=str(refusal))
        except (KeyError, TypeError, ValueError):
            return _error(400, "a message lacks role or content")
        return self._faults.spoil(answer, number=number)

    def _reply(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        answer.wait()
        try:
            handler.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer.body)))
            handler.end_headers()
            handler.wfile.write(answer.body)
            handler.wfile.flush()
        except OSError:
            handler.close_connection = True  # the client has given up waiting


def _judge(body: Mapping[str, Any], law: Law, *, errs: bool) -> str:
    return judge_answer(body["messages"], law, seed=body.get("seed"), errs=errs)


def _completion(
    model: str, prompt: str, *, text: str | None = None, refusal: str | None = None
) -> Answer:
    """A chat completion; a token is counted for every four bytes, as a price would have it."""
    num_prompt, num_completion = (len(each.encode()) // 4 + 1 for each in (prompt, text or ""))
    message = {"role": "assistant", "content": text, "refusal": refusal}
    body = {
        "id": "offline",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {
            "prompt_tokens": num_prompt,
            "completion_tokens": num_completion,
            "total_tokens": num_prompt + num_completion,
        },
    }
    return Answer(200, json.dumps(body).encode())


def _error(status: int, message: str) -> Answer:
    return Answer(status, json.dumps({"error": {"message": message}}).encode())


def _code_hash() -> str:
    """Answers of other rules are other answers: none is kept from before the rules changed."""
    return ":".join(hash_file(Path(__file__).with_name(name))[:16] for name in _OWN_FILES)

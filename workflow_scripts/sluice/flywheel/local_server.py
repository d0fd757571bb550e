"""A local model behind an OpenAI-compatible server: vLLM's on a GPU, transformers' own elsewhere.

The server listens on this machine alone, on a free port, and ends with the process that started it,
however that ends (`sluice.guarded`).
"""

import contextlib
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from sluice.errors import EngineError
from sluice.flywheel.server_commands import (
    ServerKind,
    served_name,
    server_command,
    server_kind,
)
from sluice.guarded import ending_on_signals, start_guarded, stop_guarded
from sluice.hub import VLLM_ENVIRONMENT
from sluice.logs import get_logger
from sluice.settings.flywheel import ServerSettings

logger = get_logger(__name__)

HOST = "127.0.0.1"
_LOOK_EVERY_S = 0.1
_TAIL_LINES = 15
# The last line of a traceback, where vLLM logs it behind "(Worker pid=7) ERROR ...] ".
_RAISED = re.compile(r"(?:\([^)]+\) ERROR [^]]+\] )?(?P<error>[\w.]*(?:Error|Exception): .+)")
_ATTEMPTS = 3
_PORT_TAKEN = "address already in use"
# Servers read these as settings of their own: a key would then be asked for.
_NOT_INHERITED = ("VLLM_API_KEY",)


@dataclass
class LocalServer:
    """A server that is up."""

    kind: ServerKind
    model: str
    """The name under which it knows the model."""
    port: int
    log_path: Path
    start_s: float
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        """Where a client finds it."""
        return f"http://{HOST}:{self.port}/v1"

    def check(self) -> None:
        """Makes sure that it still runs.

        Raises:
            EngineError: it has ended; the message holds the end of its log.
        """
        if self.process.poll() is not None:
            raise _failure("the model's server has ended", self.process, self.log_path)


@contextlib.contextmanager
def serve_locally(
    model: str,
    settings: ServerSettings,
    *,
    revision: str | None = None,
    log_path: Path,
    port: int | None = None,
) -> Iterator[LocalServer]:
    """A server of a model for as long as the ``with`` block runs.

    SIGTERM and SIGHUP end the block as SIGINT does.

    Args:
        model: hub id or folder.
        settings: which server, on what.
        revision: of a hub model.
        log_path: where the server's own words go.
        port: to listen on; a free one where None.
    Raises:
        EngineError: it cannot be started, ends, or is not healthy in time.
    """
    with ending_on_signals():
        for attempt in range(_ATTEMPTS):
            process, chosen = _start(model, settings, revision, log_path=log_path, port=port)
            try:
                start_s = _wait_until_healthy(process, settings, port=chosen, log_path=log_path)
                if start_s is None and port is None and attempt + 1 < _ATTEMPTS:
                    continue  # another process took the port between choosing and listening
                if start_s is None:
                    raise _failure(f"port {chosen} is taken", process, log_path)
                name = served_name(settings, model=model, revision=revision)
                server = LocalServer(
                    server_kind(settings), name, chosen, log_path, start_s, process
                )
                logger.info(
                    "%s serves %s at %s after %.1f s",
                    server.kind,
                    server.model,
                    server.url,
                    server.start_s,
                )
                yield server
                return
            finally:
                stop_guarded(process)


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _start(
    model: str,
    settings: ServerSettings,
    revision: str | None,
    *,
    log_path: Path,
    port: int | None,
) -> tuple["subprocess.Popen[bytes]", int]:
    chosen = port or free_port()
    command = server_command(settings, model=model, revision=revision, host=HOST, port=chosen)
    environment = {
        key: value
        for key, value in {**VLLM_ENVIRONMENT, **os.environ}.items()
        if key not in _NOT_INHERITED
    }
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with open(log_path, "wb") as log:
        process = start_guarded(command, output=log, environment=environment)
    return process, chosen


def _wait_until_healthy(
    process: "subprocess.Popen[bytes]", settings: ServerSettings, *, port: int, log_path: Path
) -> float | None:
    """Seconds until it answers; None where its port was taken."""
    began = time.monotonic()
    # Another process may have the port, and answer there while ours is still on its way to it.
    while not (_is_healthy(port) and _is_listening(process, port)):
        if process.poll() is not None:
            if _PORT_TAKEN in _tail(log_path).lower():
                return None
            raise _failure("the model's server has ended before it was ready", process, log_path)
        if time.monotonic() - began > settings.server_timeout_s:
            stop_guarded(process)
            raise _failure(
                f"the model's server is not ready after {settings.server_timeout_s:g} s",
                process,
                log_path,
                hint="a large model may need longer: server_timeout_s",
            )
        time.sleep(_LOOK_EVERY_S)
    return time.monotonic() - began


def _is_healthy(port: int) -> bool:
    # No proxy: it would be asked for this machine's own address.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{HOST}:{port}/health", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _is_listening(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Whether one of the server's own processes has the port."""
    with contextlib.suppress(psutil.Error):  # it has just ended
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for each in psutil.Process(process.pid).children(recursive=True)
            for connection in each.net_connections("tcp")
        )
    return False


def _failure(
    what: str, process: "subprocess.Popen[bytes]", log_path: Path, *, hint: str | None = None
) -> EngineError:
    tail, first = _tail(log_path), _first_error(log_path)
    cause = f"its first error:\n    {first}\n  " if first and first not in tail else ""
    return EngineError(
        f"{what} (exit status {process.poll()}); {cause}its last words:\n{tail}",
        where=str(log_path),
        hint=hint,
    )


def _tail(log_path: Path) -> str:
    return "\n".join(f"    {line}" for line in _lines(log_path)[-_TAIL_LINES:])


def _first_error(log_path: Path) -> str | None:
    """What was raised first: vLLM's processes each report the failure of the one below them."""
    found = (_RAISED.match(line) for line in _lines(log_path))
    return next((each["error"] for each in found if each), None)


def _lines(log_path: Path) -> list[str]:
    return log_path.read_text(encoding="utf-8", errors="replace").splitlines()

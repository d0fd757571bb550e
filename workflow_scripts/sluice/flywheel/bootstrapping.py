"""Proof that a model can be served: bootstrap.json; and a server that stays up for a person."""

import asyncio
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.chat import load_tokenizer
from sluice.errors import EngineError
from sluice.files import write_json
from sluice.flywheel.local_server import LocalServer, serve_locally
from sluice.flywheel.server_commands import Asking, asking
from sluice.flywheel.simulation_run import FORMAT_VERSION, read_prompt
from sluice.llm.client import NO_KEY
from sluice.logs import get_logger
from sluice.packages import installed_version
from sluice.settings.flywheel import BootstrapModel, ServerSettings

logger = get_logger(__name__)

_LIBRARIES = ("transformers", "vllm", "torch", "tokenizers", "fastapi", "uvicorn", "openai")
_WATCH_EVERY_S = 0.5


@dataclass(frozen=True)
class Smoke:
    """The answer to the smoke question, and how long it took."""

    answer: str
    first_token_s: float
    total_s: float
    num_completion_tokens: int | None


def bootstrap_model(
    model: str,
    *,
    revision: str | None,
    settings: BootstrapModel,
    question: Path,
    output: Path,
    log_path: Path,
) -> None:
    """Starts a model's server, asks it a question, writes what it is and how fast it answers.

    Args:
        model: hub id or folder.
        revision: of a hub model.
        settings: which server, how answers are drawn.
        question: text file with the smoke question.
        output: bootstrap.json.
        log_path: where the server's own words go.
    Raises:
        ModelError: the model has no chat template or no end-of-answer token.
        EngineError: the server does not start, or gives no answer.
    """
    load_tokenizer(model, revision=revision)
    system = read_prompt(Path(settings.system_prompt)) if settings.system_prompt else None
    text = read_prompt(question)
    with serve_locally(model, settings, revision=revision, log_path=log_path) as server:
        how = asking(
            server.kind,
            model=model,
            revision=revision,
            served_as=server.model,
            temperature=settings.temperature,
            max_new_tokens=settings.max_new_tokens,
        )
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text})
        smoke = asyncio.run(ask_smoke_question(server, how, messages, seed=settings.seed))
    logger.info("first token after %.2f s, all after %.2f s", smoke.first_token_s, smoke.total_s)
    write_json(
        output,
        {
            "format_version": FORMAT_VERSION,
            "model": model,
            "revision": revision,
            "server": server.kind,
            "versions": versions(),
            "settings": settings.model_dump(mode="json"),
            "start_s": round(server.start_s, 3),
            "smoke": {"question": text, **_rounded(smoke)},
        },
    )


async def ask_smoke_question(
    server: LocalServer, how: Asking, messages: list[dict[str, str]], *, seed: int
) -> Smoke:
    """Asks once, with the answer streamed, so that its first token can be timed.

    Raises:
        EngineError: the server gives an error, or ends the stream without a token.
    """
    import openai

    body = {
        **how.body(messages, seed=seed),
        "stream": True,
        "stream_options": {"include_usage": True},  # vLLM counts no tokens otherwise
    }
    began = time.monotonic()
    first: float | None = None
    parts: list[str] = []
    num_tokens = None
    async with openai.AsyncOpenAI(api_key=NO_KEY, base_url=server.url, max_retries=0) as client:
        try:
            async for chunk in await client.chat.completions.create(**body):
                piece = _piece(chunk)
                if piece:
                    first = first or time.monotonic() - began
                    parts.append(piece)
                num_tokens = getattr(chunk.usage, "completion_tokens", num_tokens)
        except openai.APIError as error:
            server.check()
            raise EngineError(f"the smoke question gets no answer: {error}") from None
    if first is None:
        raise EngineError(
            "the answer to the smoke question is empty",
            where=str(server.log_path),
            hint="the model may not know its chat template; look at the server's log",
        )
    return Smoke("".join(parts), first, time.monotonic() - began, num_tokens)


def serve_model(
    model: str, *, revision: str | None, settings: ServerSettings, port: int | None, log_path: Path
) -> None:
    """Keeps a model's server up until Ctrl-C, SIGTERM or its own end.

    Raises:
        EngineError: it does not start, or ends by itself.
    """
    with serve_locally(model, settings, revision=revision, log_path=log_path, port=port) as server:
        logger.info(
            "ask with: base_url %s, model '%s'; the server's log: %s; Ctrl-C stops it",
            server.url,
            server.model,
            log_path,
        )
        while True:
            time.sleep(_WATCH_EVERY_S)
            server.check()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that take part, as far as they are installed."""
    found = {library: installed_version(library) for library in _LIBRARIES}
    installed = {library: version for library, version in found.items() if version}
    return {"python": platform.python_version(), **installed}


def _piece(chunk: Any) -> str:
    """The text of a streamed chunk, reasoning included."""
    if not chunk.choices:
        return ""
    delta = chunk.choices[0].delta
    thought = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
    return (thought or "") + (delta.content or "")


def _rounded(smoke: Smoke) -> dict[str, Any]:
    return {
        "answer": smoke.answer,
        "first_token_s": round(smoke.first_token_s, 3),
        "total_s": round(smoke.total_s, 3),
        "completion_tokens": smoke.num_completion_tokens,
    }

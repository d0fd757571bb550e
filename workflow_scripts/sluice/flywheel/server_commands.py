"""The command lines of the servers, and how each has to be asked: they differ in what they heed."""

import importlib.util
import json
import sys
from dataclasses import dataclass
from typing import Any, Literal

from sluice.errors import EngineError, ModelError
from sluice.hub import prepare_transformers
from sluice.loading import NO_REMOTE_CODE, loading
from sluice.settings.flywheel import ServerSettings

ServerKind = Literal["transformers", "vllm"]

# Changes no logit, whatever a checkpoint's generation_config.json asks of transformers.
_NEUTRAL = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0, "num_beams": 1}
_NEUTRAL_DRAWING = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}


def server_command(
    settings: ServerSettings, *, model: str, revision: str | None, host: str, port: int
) -> list[str]:
    """The words that start a server.

    Raises:
        EngineError: the server's library is not installed.
    """
    address = ["--host", host, "--port", str(port)]
    if server_kind(settings) == "vllm":
        _need("vllm", hint="use the environment envs/vllm.yaml, or --server transformers")
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *address]
        command += ["--model", model, "--served-model-name", model, "--seed", "0"]
        # Else top_k, repetition_penalty ... are the checkpoint's own where a request names none.
        command += ["--generation-config", "vllm"]
        command += ["--gpu-memory-utilization", str(settings.server_memory_utilization)]
        command += (
            ["--max-model-len", str(settings.server_max_model_len)]
            if settings.server_max_model_len
            else []
        )
        return command + (["--revision", revision] if revision else [])
    for library in ("fastapi", "uvicorn"):
        _need(library, hint="pip install -r requirements.txt")
    start = "from transformers.cli.transformers import main; main()"
    name = served_name(settings, model=model, revision=revision)
    return [
        sys.executable,
        "-c",
        start,
        "serve",
        name,
        *address,
        "--device",
        settings.server_device,
    ]


def served_name(settings: ServerSettings, *, model: str, revision: str | None) -> str:
    """The name under which a server knows its model."""
    is_pinned = revision and server_kind(settings) == "transformers"
    return f"{model}@{revision}" if is_pinned else model


def server_kind(settings: ServerSettings) -> ServerKind:
    """The server that the settings mean on this machine."""
    if settings.server != "auto":
        return settings.server
    if importlib.util.find_spec("vllm") is None:
        return "transformers"
    import torch

    return "vllm" if torch.cuda.is_available() else "transformers"


@dataclass(frozen=True)
class Asking:
    """How a server's model is asked."""

    kind: ServerKind
    model: str
    temperature: float
    max_new_tokens: int
    ends: dict[str, Any]
    """transformers: the token ids with which this model's answers end."""

    @property
    def concurrency(self) -> int | None:
        """Requests that may be under way at once without changing an answer; None for any number.

        transformers draws all answers from one stream of random numbers, so that only requests
        that follow each other are reproducible; it computes them one by one anyway.
        """
        return 1 if self.kind == "transformers" and self.temperature > 0 else None

    def body(self, messages: list[dict[str, str]], *, seed: int) -> dict[str, Any]:
        """A request's arguments.

        transformers heeds a temperature only if the model's own generation_config samples, and
        takes from it what a request leaves open, so the whole configuration goes with each request.
        """
        body = {
            "model": self.model,
            "messages": messages,
            "max_tokens": self.max_new_tokens,
            "seed": seed,
        }
        if self.kind == "vllm":
            return {**body, "temperature": self.temperature, "top_p": 1.0}
        drawing: dict[str, Any] = {"do_sample": False}
        if self.temperature > 0:
            drawing = {"do_sample": True, "temperature": self.temperature, **_NEUTRAL_DRAWING}
        configuration = json.dumps({**self.ends, **_NEUTRAL, **drawing}, sort_keys=True)
        return {**body, "extra_body": {"generation_config": configuration}}


def asking(
    kind: ServerKind,
    *,
    model: str,
    revision: str | None,
    served_as: str,
    temperature: float,
    max_new_tokens: int,
) -> Asking:
    """How a model is asked behind a server of a kind.

    Raises:
        ModelError: no generation settings or configuration can be read, or no token ends an answer.
    """
    ends = _ends(model, revision) if kind == "transformers" else {}
    return Asking(kind, served_as, temperature, max_new_tokens, ends)


def _ends(model: str, revision: str | None) -> dict[str, Any]:
    from transformers import AutoConfig, GenerationConfig

    prepare_transformers()
    with loading(f"{model} has no configuration that can be read"):
        try:
            own = GenerationConfig.from_pretrained(model, revision=revision or "main")
        except OSError:  # older checkpoints keep these ids in config.json
            config = AutoConfig.from_pretrained(model, revision=revision, **NO_REMOTE_CODE)
            own = GenerationConfig.from_model_config(config)
    if own.eos_token_id is None:
        raise ModelError(
            f"{model} names no token that ends an answer",
            expected="'eos_token_id' in generation_config.json or config.json",
        )
    ids = {"eos_token_id": own.eos_token_id, "pad_token_id": own.pad_token_id}
    return {name: value for name, value in ids.items() if value is not None}


def _need(library: str, *, hint: str) -> None:
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:  # a mere folder of that name is no library
        raise EngineError(f"the server needs {library}, which is not installed", hint=hint)

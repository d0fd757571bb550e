"""Settings of the engines: what turns prompts into completions, and on what."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sluice.settings.addresses import server_address
from sluice.settings.asking import Asking
from sluice.settings.base import UNTRACKED, Settings
from sluice.settings.precision import Precision


class _Choice(Settings):
    """Which engine generates, and how it uses its machine."""

    engine: Literal["transformers", "vllm", "openai"] = "transformers"
    """transformers: CPU and small GPUs. vllm: GPUs; needs the environment envs/vllm.yaml. openai:
    any OpenAI-compatible server; the model's path is then the name that the server knows, and its
    key, price, budget and the like are looked at."""
    device: str = "auto"
    """transformers: cpu, cuda, cuda:1 ...; auto takes a GPU where there is one."""
    precision: Precision = "auto"
    """Of weights and activations. transformers: auto is bfloat16 on a GPU, float32 on a CPU. vllm:
    auto is what the checkpoint's configuration says, but never float32; float32 takes no adapter.
    openai: the server's business; all but auto is refused."""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """transformers: sequences in a batch; less needs less memory."""
    tensor_parallel_size: Annotated[int, Field(ge=1)] = 1
    """vllm: GPUs that share the model."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    """vllm: share of each GPU's memory that it may take."""
    max_model_len: Annotated[int, Field(ge=8)] | None = None
    """vllm: tokens of prompt and completion together; the model's own limit where not given."""
    base_url: Annotated[str, AfterValidator(server_address)] | None = None
    """openai: address of the server, such as http://localhost:8000/v1; OpenAI's where not given."""


class EngineSettings(Asking, _Choice):
    """Which engine generates, and how it uses its machine or asks its server."""

    max_requests: Annotated[Annotated[int, Field(ge=1)] | None, UNTRACKED] = None
    """openai: budget of an output in requests, failed ones included; no limit where not given. Like
    max_cost, it holds for all attempts and runs together."""
    max_billed_tokens: Annotated[Annotated[int, Field(ge=1)] | None, UNTRACKED] = None
    """openai: budget of an output in tokens, prompts and completions together, as the server counts
    them, for all attempts and runs together. Requests under way when it is spent are still paid."""


def engine_problems(place: str, engine: EngineSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with an engine's settings: pairs of what it is and what was expected.

    Args:
        place: what stands before a key in the message, such as ``tasks.math.``.
        engine: the settings.
    """
    if engine.engine == "openai" and engine.precision != "auto":
        yield (
            f"'{place}precision' is '{engine.precision}', and the engine is openai, whose server "
            "chooses its precision",
            "precision: auto, or another engine",
        )


def drawing_problems(
    place: str, *, num_samples: int, temperature: float
) -> Iterator[tuple[str, str]]:
    """What is wrong with how answers are drawn: pairs of what it is and what was expected.

    Args:
        place: what stands before a key in the message, such as ``tasks.math.``.
        num_samples: answers to each prompt.
        temperature: 0 draws nothing.
    """
    if num_samples > 1 and temperature == 0:
        yield (
            f"'{place}num_samples' is {num_samples} at temperature 0, where all answers to a "
            "prompt are the same",
            "num_samples: 1, or a temperature above 0",
        )

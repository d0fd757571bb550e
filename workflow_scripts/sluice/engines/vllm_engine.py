"""The engine for GPUs: vLLM, all requests in its queue at once.

vLLM needs an environment of its own (envs/vllm.yaml), since its torch differs from the trainer's.
Each request has its own seed; what is drawn still depends on the batch in the last bits of the
logits, unless vLLM is told otherwise (VLLM_BATCH_INVARIANT=1, where the GPU can).
"""

import os
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from sluice.engines.engine import Completion, Request, Sampling, Unfinished
from sluice.engines.tokens import encode_prompts, find_tokenizer, to_completion
from sluice.errors import DataError, EngineError, ModelError
from sluice.files import read_json
from sluice.hub import VLLM_ENVIRONMENT
from sluice.logs import get_logger
from sluice.settings.engine import EngineSettings

logger = get_logger(__name__)

# The ranks for which vLLM has kernels; an adapter of another rank takes the next one.
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


class VllmEngine:
    """A model that vLLM holds, with an adapter or without.

    Args:
        llm: ``vllm.LLM``.
        tokenizer: with a chat template.
        adapter: folder of a LoRA adapter.
    """

    def __init__(self, llm: Any, tokenizer: Any, *, adapter: str | None = None) -> None:
        self._llm = llm
        self._tokenizer = tokenizer
        self._adapter = adapter

    def generate(
        self,
        requests: Sequence[Request],
        *,
        sampling: Sampling,
        skip: Container[int] = (),
        unfinished: Unfinished | None = None,
    ) -> Iterator[tuple[int, Completion]]:
        """Yields (index into requests, completion) as they end; see `Engine.generate`."""
        wanted = [index for index in range(len(requests)) if index not in skip]
        prompts = encode_prompts(self._tokenizer, [requests[index] for index in wanted])
        seeds = [requests[index].seed for index in wanted]
        try:
            places = self._enqueue(prompts, seeds=seeds, sampling=sampling)
            engine = self._llm.llm_engine
            while engine.has_unfinished_requests():
                for output in engine.step():
                    if output.finished:
                        place = _take_place(places, output.request_id)
                        yield wanted[place], self._completion(output)
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"vLLM cannot go on: {error}",
                hint="less memory: gpu_memory_utilization, max_model_len; more GPUs: "
                "tensor_parallel_size",
            ) from error

    def _enqueue(
        self, prompts: list[tuple[int, ...]], *, seeds: list[int], sampling: Sampling
    ) -> dict[str, int]:
        """Puts all prompts into vLLM's queue; returns request id -> place in ``prompts``.

        Raises:
            EngineError: the ids are not one a prompt.
        """
        from vllm import SamplingParams, TokensPrompt
        from vllm.lora.request import LoRARequest

        if not prompts:
            return {}
        # The turn also ends where the tokenizer says so, even if generation_config.json does not.
        ends = [self._tokenizer.eos_token_id] if self._tokenizer.eos_token_id is not None else None
        ids = self._llm.enqueue(
            [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts],
            [
                SamplingParams(
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    max_tokens=sampling.max_new_tokens,
                    seed=seed,
                    stop_token_ids=ends,
                    detokenize=False,
                )
                for seed in seeds
            ],
            lora_request=LoRARequest("adapter", 1, self._adapter) if self._adapter else None,
            use_tqdm=False,
        )
        # vLLM hands out "<number>-<random>" and reports by the number.
        places = {str(id_).partition("-")[0]: place for place, id_ in enumerate(ids)}
        if not len(places) == len(ids) == len(prompts):
            raise EngineError(
                f"vLLM gave {len(prompts):,} prompts {len(ids):,} ids, {len(places):,} different "
                "ones",
                expected="one of its own for each",
                hint="install the version of vLLM that envs/vllm.yaml names",
            )
        return places

    def _completion(self, output: Any) -> Completion:
        (written,) = output.outputs
        return to_completion(
            self._tokenizer, list(written.token_ids), has_ended=written.finish_reason == "stop"
        )


def _take_place(places: dict[str, int], request_id: str) -> int:
    """The place of a request that waited for its answer, and does so no longer."""
    if request_id not in places:
        raise EngineError(
            f"vLLM answered a request '{request_id}', which is none of the {len(places):,} that "
            "wait for an answer",
            hint="install the version of vLLM that envs/vllm.yaml names",
        )
    return places.pop(request_id)


def load_vllm_engine(
    settings: EngineSettings, *, model: str, revision: str | None, adapter: str | None
) -> VllmEngine:
    """The engine of a checkpoint.

    Raises:
        EngineError: vLLM is missing, cannot start, or has no kernels for the adapter's precision.
        ModelError: the adapter's configuration cannot be read.
    """
    if adapter and settings.precision == "float32":
        raise EngineError(
            f"vLLM has no float32 kernels for the adapter {adapter}",
            expected="precision: auto, bfloat16 or float16",
            hint="merge it into its base first (merge_adapter), or use the engine transformers",
        )
    for name, value in VLLM_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
    except ImportError as error:
        raise EngineError(
            f"the engine vllm is not installed here ({error})",
            hint="make the environment envs/vllm.yaml (snakemake --sdm conda does it by itself), "
            "or use the engine transformers",
        ) from None
    tokenizer = find_tokenizer(model, revision=revision, adapter=adapter)
    lora = {"enable_lora": True, "max_lora_rank": lora_rank(adapter)} if adapter else {}
    limit = {"max_model_len": settings.max_model_len} if settings.max_model_len else {}
    try:
        llm = LLM(
            model,
            revision=revision,
            dtype=settings.precision,
            tensor_parallel_size=settings.tensor_parallel_size,
            gpu_memory_utilization=settings.gpu_memory_utilization,
            **limit,
            **lora,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise EngineError(
            f"vLLM cannot start with {model}: {error}",
            hint="is there a free GPU? Less memory: gpu_memory_utilization, max_model_len",
        ) from error
    return VllmEngine(llm, tokenizer, adapter=adapter)


def lora_rank(adapter: str) -> int:
    """The smallest rank that vLLM offers and the adapter fits into.

    Raises:
        ModelError: there is no adapter_config.json, or the rank is too large.
    """
    file = Path(adapter) / "adapter_config.json"
    try:
        config = read_json(file)
        rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
        fitting = [offered for offered in _LORA_RANKS if offered >= rank]
    except (DataError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from None
    if not fitting:
        raise ModelError(
            f"the adapter {adapter} has rank {rank}, and vLLM stops at {_LORA_RANKS[-1]}",
            hint="merge it into its base first: merge_adapter",
        )
    return fitting[0]

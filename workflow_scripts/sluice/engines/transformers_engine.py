"""The engine for CPUs and small GPUs: transformers, in batches of similar prompts.

The decoding loop is our own, for three things that ``generate`` cannot do: prompts that stand in a
batch several times are read once, each row draws from its own random numbers, and rows that have
ended leave the batch.
"""

import time
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from sluice.adapter_files import attach_adapter, check_adapter
from sluice.devices import find_device
from sluice.engines.batch_notes import BatchNotes
from sluice.engines.decoding import Batch, Rows
from sluice.engines.engine import Completion, Request, Sampling, Unfinished
from sluice.engines.tokens import encode_prompts, find_tokenizer, to_completion
from sluice.errors import EngineError
from sluice.hub import prepare_transformers
from sluice.loading import NO_REMOTE_CODE, loading
from sluice.logs import LINE_EVERY_S, get_logger
from sluice.memory import FittingBatches
from sluice.precision import find_dtype
from sluice.settings.precision import Precision

logger = get_logger(__name__)


def plan_batches(lengths: Sequence[int], *, batch_size: int) -> list[list[int]]:
    """Indices of all prompts in batches of similar lengths, longest first.

    The longest first: a machine that lacks memory says so at once. Equal lengths keep their order,
    so copies of a prompt that stand together stay together.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


class TransformersEngine:
    """A causal language model of transformers, with an adapter or without.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: with a chat template.
        batch_size: rows of a batch.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch_size: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._end_tokens = _end_tokens(model, tokenizer)

    def generate(
        self,
        requests: Sequence[Request],
        *,
        sampling: Sampling,
        skip: Container[int] = (),
        unfinished: Unfinished | None = None,
    ) -> Iterator[tuple[int, Completion]]:
        """Yields (index into requests, completion), batch by batch; see `Engine.generate`.

        A batch of which only a part is to be skipped runs whole, since the last bits of a row's
        logits depend on the batch around it.
        """
        prompts = encode_prompts(self._tokenizer, requests)
        notes = BatchNotes(unfinished) if unfinished else None
        fitting = FittingBatches[int](
            "prompts",
            tokens=lambda index: len(prompts[index]) + sampling.max_new_tokens,
            hint="lower max_new_tokens, or take a GPU with more memory",
        )

        def complete(part: Sequence[int]) -> list[tuple[int, Completion]]:
            if all(index in skip for index in part):
                return []
            try:
                written = self.complete(
                    [prompts[index] for index in part],
                    seeds=[requests[index].seed for index in part],
                    sampling=sampling,
                    notes=notes,
                )
            except torch.OutOfMemoryError:
                if notes:
                    notes.drop()
                raise
            return list(zip(part, written, strict=True))

        self._check_room(prompts)
        for batch in plan_batches([len(ids) for ids in prompts], batch_size=self._batch_size):
            for part in fitting.run(complete, batch):
                yield from (each for each in part if each[0] not in skip)
                if part and notes:
                    # Whoever asks for the next one has noted these.
                    notes.forget()
        if notes:  # an earlier run may have been killed while it forgot
            notes.forget()

    def _check_room(self, prompts: Sequence[tuple[int, ...]]) -> None:
        room = self._context_tokens()
        too_long = {ids for ids in prompts if len(ids) >= room}
        if too_long:
            raise EngineError(
                f"{len(too_long):,} prompts fill the model's context of {room:,} tokens; the "
                f"longest has {max(map(len, too_long)):,}",
                hint="leave them out, or take a model with a longer context",
            )

    def _context_tokens(self) -> int:
        config = self._model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or 2**31)

    @torch.inference_mode()
    def complete(
        self,
        prompts: list[tuple[int, ...]],
        *,
        seeds: list[int],
        sampling: Sampling,
        notes: BatchNotes | None = None,
    ) -> list[Completion]:
        """Completes the prompts of one batch, given as tokens, in their order.

        With notes it goes on where an interrupted run was.
        """
        room = self._context_tokens()
        limits = [min(sampling.max_new_tokens, room - len(ids)) for ids in prompts]
        batch = Batch(prompts, seeds, limits, sampling)
        rows = Rows(self._model, batch)
        if notes:
            notes.begin(batch, rows)
        said = time.monotonic()
        while rows.advance(self._end_tokens):
            if notes:
                notes.save_if_due()
            if time.monotonic() - said >= LINE_EVERY_S:
                said = time.monotonic()
                logger.info("this batch: %s", rows.describe())
        return [
            to_completion(self._tokenizer, ids, has_ended=ids[-1] in self._end_tokens)
            for ids in rows.written
        ]


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a turn: the tokenizer's, and those of generation_config.json."""
    configured = model.generation_config.eos_token_id
    configured = configured if isinstance(configured, list) else [configured]
    return frozenset(int(id_) for id_ in (tokenizer.eos_token_id, *configured) if id_ is not None)


def load_engine(
    model: str,
    *,
    revision: str | None,
    adapter: str | None,
    device: str,
    precision: Precision,
    batch_size: int,
) -> TransformersEngine:
    """The engine of a checkpoint.

    Raises:
        DeviceError: the device is not there.
        ModelError: model or adapter cannot be loaded, or they do not fit.
    """
    prepare_transformers()
    place = find_device(device)
    dtype = find_dtype(precision, place)
    if adapter:
        check_adapter(Path(adapter))
    loaded = load_model(model, revision=revision, dtype=dtype)
    if adapter:
        loaded = attach_adapter(loaded, Path(adapter))
    tokenizer = find_tokenizer(model, revision=revision, adapter=adapter)
    logger.info("%s%s on %s in %s", model, f" with {adapter}" if adapter else "", place, dtype)
    return TransformersEngine(loaded.to(place).eval(), tokenizer, batch_size=batch_size)


def load_model(model: str, *, revision: str | None, dtype: torch.dtype) -> Any:
    """A causal language model of a folder or hub id, on the CPU.

    Raises:
        ModelError: none can be loaded.
    """
    from transformers import AutoModelForCausalLM

    with loading(
        f"no causal language model could be loaded from {model}",
        hint="offline, a hub id must be in the local cache, or name a folder",
    ):
        return AutoModelForCausalLM.from_pretrained(
            model, revision=revision, dtype=dtype, **NO_REMOTE_CODE
        )

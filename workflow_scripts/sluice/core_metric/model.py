"""The model under evaluation: any causal language model of transformers, and its tokenizer."""

from typing import Any

from sluice.chat import load_tokenizer
from sluice.devices import find_device
from sluice.hub import prepare_transformers
from sluice.loading import NO_REMOTE_CODE, loading
from sluice.logs import get_logger
from sluice.precision import find_dtype
from sluice.settings.precision import Precision

logger = get_logger(__name__)


def load_model(
    model: str, *, revision: str | None, device: str, precision: Precision
) -> tuple[Any, Any]:
    """A model in evaluation mode on its device, and its tokenizer.

    Args:
        model: folder or hub id.
        revision: commit, tag or branch of a hub model.
        device: ``auto`` takes a GPU where there is one.
        precision: ``auto``: bfloat16 on a GPU, float32 on a CPU.
    Raises:
        DeviceError: the device is not there.
        ModelError: nothing can be loaded.
    """
    from transformers import AutoModelForCausalLM

    prepare_transformers()
    place = find_device(device)
    dtype = find_dtype(precision, place)
    with loading(
        f"no causal language model could be loaded from {model}",
        hint="offline, a hub id must be in the local cache, or name a folder",
    ):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model, revision=revision, dtype=dtype, **NO_REMOTE_CODE
        )
    tokenizer = load_tokenizer(model, revision=revision, needs_template=False)
    logger.info("%s on %s in %s", model, place, dtype)
    return loaded.to(place).eval(), tokenizer


def default_batch_tokens(model: Any) -> int:
    """How many tokens go through the model at once where the settings do not say.

    On a CPU small batches stay in its caches: 2,048 tokens took two thirds of the CPU time that
    16,384 took (6 layers of width 384, 2026-11-23).
    """
    return 4096 if model.device.type == "cpu" else 65536


def context_tokens(model: Any) -> int | None:
    """How many tokens the model reads at once; None where its configuration names no limit."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(limit) if limit else None

"""A source checkpoint -> the same model with gates, proven the same.

Shape letters: B samples, T tokens, V vocabulary.
"""

import gc
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sluice.chat import load_tokenizer
from sluice.errors import ModelError, shorten_ids
from sluice.files import atomic_folder
from sluice.gate.modeling import draw_gates, gate_parameters, gated_family, is_gate
from sluice.hub import prepare_transformers
from sluice.loading import NO_REMOTE_CODE, loading
from sluice.logs import get_logger
from sluice.seeds import derive_seed
from sluice.settings.gate import GateShape

logger = get_logger(__name__)

_PROBE_SHAPE_BT = (2, 24)


def convert_checkpoint(
    model: str,
    save_path: Path,
    *,
    shape: GateShape,
    seed: int,
    revision: str | None = None,
    device: str = "cpu",
    dtype: str = "auto",
) -> Path:
    """Writes the gated model with its tokenizer, and proves that the logits are the same.

    Never more than one model is in memory: the source's logits on a probe are kept, not the source.

    Args:
        model: hub id or folder of a Qwen3, Qwen2, Llama or Mistral checkpoint.
        save_path: the folder to make; one that is there is replaced.
        shape: how gates start, and what they will learn.
        seed: of the gates' weights.
        revision: commit, tag or branch of a hub model.
        device: where the forward passes of the proof run.
        dtype: precision of the saved weights; ``auto`` keeps the source's.
    Returns:
        The absolute path of the folder.
    Raises:
        ModelError: nothing can be loaded from ``model``, its family is not supported, or the
            converted model's logits differ from the source's.
    """
    prepare_transformers()
    source_config = load_config(model, revision=revision)
    gated_config_class, gated_model_class = gated_family(source_config.model_type)
    tokenizer = load_tokenizer(model, revision=revision)
    values = {k: v for k, v in source_config.to_dict().items() if k != "model_type"}
    choices = {name: getattr(shape, name) for name in GateShape.model_fields}
    config = gated_config_class.from_dict({**values, **choices, "quality_gate_source": model})
    probe_BT = probe_tokens(source_config.vocab_size, seed=seed).to(device)

    def logits_of(loaded: Any) -> Tensor:
        with torch.no_grad():
            logits: Tensor = loaded.to(device).eval()(input_ids=probe_BT).logits
        return logits.cpu()

    expected_BTV = logits_of(_load(None, model, revision=revision, dtype=dtype))
    gc.collect()
    gated = _load(gated_model_class, model, revision=revision, dtype=dtype, config=config)
    draw_gates(gated, seed=seed)
    _check_same(logits_of(gated), expected_BTV, when="before saving")
    with atomic_folder(save_path) as folder:
        gated.cpu().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        num_gates = len(gate_parameters(gated))
        del gated
        gc.collect()
        reloaded = _load(None, str(folder), revision=None, dtype="auto")
        _check_same(logits_of(reloaded), expected_BTV, when="after reloading")
    logger.info("%s: %d gates added, logits bit-equal before and after reloading", model, num_gates)
    return Path(save_path).resolve()


def load_config(model: str, *, revision: str | None = None) -> Any:
    """The configuration of a checkpoint.

    Raises:
        ModelError: nothing can be loaded from ``model``.
    """
    from transformers import AutoConfig

    with _loading(model):
        return AutoConfig.from_pretrained(model, revision=revision, **NO_REMOTE_CODE)


def probe_tokens(vocab_size: int, *, seed: int) -> Tensor:
    """Random token ids of shape (B, T) on which two models are compared."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "probe_tokens"))
    return torch.randint(0, vocab_size, _PROBE_SHAPE_BT, generator=generator)


def _load(model_class: Any, model: str, *, revision: str | None, dtype: str, **options: Any) -> Any:
    from transformers import AutoModelForCausalLM

    loader: Any = model_class or AutoModelForCausalLM
    with _loading(model):
        loaded, report = loader.from_pretrained(
            model,
            revision=revision,
            dtype=dtype,
            output_loading_info=True,
            **NO_REMOTE_CODE,
            **options,
        )
    # A plain checkpoint that becomes a gated model lacks its gates, and nothing else.
    missing = [name for name in report["missing_keys"] if not model_class or not is_gate(name)]
    if missing:
        raise ModelError(
            f"the checkpoint of '{model}' lacks {len(missing)} of the model's weights "
            f"(first: {shorten_ids(sorted(missing))})",
            hint="transformers would fill them with random numbers; copy or convert it again",
        )
    return loaded


def load_causal_model(model: str, *, revision: str | None = None, dtype: str = "auto") -> Any:
    """A checkpoint as transformers loads it; gated ones come with their gates.

    Raises:
        ModelError: nothing can be loaded from ``model``.
    """
    prepare_transformers()
    return _load(None, model, revision=revision, dtype=dtype)


def _loading(model: str) -> AbstractContextManager[None]:
    return loading(
        f"no model could be loaded from '{model}'",
        expected="a hub id, or a folder with config.json and *.safetensors",
        hint="offline (HF_HUB_OFFLINE=1) a hub id works only if it was downloaded before",
    )


def _check_same(found_BTV: Tensor, expected_BTV: Tensor, *, when: str) -> None:
    if not torch.equal(found_BTV, expected_BTV):
        difference = (found_BTV.float() - expected_BTV.float()).abs().max().item()
        raise ModelError(
            f"the converted model's logits differ from the source's {when}, by up to "
            f"{difference:.3g}",
            expected="bit-equal logits",
        )

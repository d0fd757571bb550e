"""A model that is ready to be trained: base, quantised where asked, with low-rank updates."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sluice.errors import ConfigError, TrainingError, shorten_ids
from sluice.files import read_json, write_text
from sluice.hub import prepare_transformers
from sluice.loading import loading
from sluice.logs import get_logger
from sluice.precision import DTYPES
from sluice.seeds import derive_seed
from sluice.settings.training import FineTune, TrainingMethod

logger = get_logger(__name__)

# bitsandbytes quantises in blocks of 64 weights; a matrix of another width loads and then fails.
_BLOCK = 64
_CONFIG_NAME = "adapter_config.json"


def is_quantised(settings: TrainingMethod) -> bool:
    """Whether the base is held in 4 bits."""
    return settings.method == "qlora" and not settings.no_4bit


def method_done(settings: TrainingMethod) -> str:
    """The method as it is carried out: qlora on an unquantised base is lora."""
    return "lora" if settings.method == "qlora" and settings.no_4bit else settings.method


def choose_dtype(settings: TrainingMethod) -> torch.dtype:
    """bfloat16 where the GPU has it or the settings say so, float32 elsewhere."""
    if settings.precision != "auto":
        return DTYPES[settings.precision]
    has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if has_bf16 else torch.float32


@dataclass(frozen=True)
class BaseModel:
    """Where the model that is trained comes from."""

    path: str
    """Hub id or folder."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    trust_remote_code: bool = False
    """Whether Python code that its repository ships may run."""


def load_causal_model(base: BaseModel, *, dtype: Any, **more: Any) -> Any:
    """A causal language model from a folder or the hub.

    Raises:
        ModelError: it is not there, or is no such model.
    """
    from transformers import AutoModelForCausalLM

    prepare_transformers()
    with loading(
        f"no model could be loaded from {base.path}",
        expected="the folder of a causal language model, or its hub id",
        hint="offline (HF_HUB_OFFLINE=1) a folder is needed",
    ):
        return AutoModelForCausalLM.from_pretrained(
            base.path,
            dtype=dtype,
            revision=base.revision,
            trust_remote_code=base.trust_remote_code,
            **more,
        )


def load_for_training(base: BaseModel, settings: FineTune, *, device: torch.device) -> Any:
    """The model with exactly those weights trainable that the method trains.

    Low-rank updates start from the seed: the first matrix random, the second zero.

    Raises:
        ModelError: the model cannot be loaded.
        TrainingError: it cannot be quantised, or quantisation is not installed.
        ConfigError: `target_modules` names no layer of the model.
    """
    dtype = choose_dtype(settings)
    if settings.method == "full":
        # Weights in float32 take small steps that bfloat16 would round away.
        return load_causal_model(base, dtype=torch.float32)
    if is_quantised(settings):
        model = _load_quantised(base, settings, dtype=dtype, device=device)
    else:
        model = load_causal_model(base, dtype=dtype)
    torch.manual_seed(derive_seed(settings.seed, "add_adapter"))
    adapted = _add_adapter(model, settings)
    trained, total = adapted.get_nb_trainable_parameters()
    logger.info("%d of %d weights are trained", trained, total)
    return adapted


def _add_adapter(model: Any, settings: FineTune) -> Any:
    from peft import LoraConfig, get_peft_model

    names = list(settings.target_modules)
    linear = _linear_names(model)
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=linear if names == ["all-linear"] else names,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError:
        raise ConfigError(
            f"'target_modules' is {', '.join(names)}, which names no layer of the model",
            hint=f"its linear layers are {', '.join(linear)}",
        ) from None


def _linear_names(model: Any) -> list[str]:
    """Last names of all linear layers but the output layer, such as q_proj, in order."""
    head = model.get_output_embeddings()
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    return sorted(names)


def _load_quantised(
    base: BaseModel, settings: FineTune, *, dtype: torch.dtype, device: torch.device
) -> Any:
    try:
        import bitsandbytes  # type: ignore[import-not-found, unused-ignore] # noqa: F401
    except ImportError:
        raise TrainingError(
            "method qlora needs bitsandbytes, which is not installed",
            hint="pip install bitsandbytes, or give --no_4bit for an unquantised base",
        ) from None
    from peft import prepare_model_for_kbit_training
    from transformers import BitsAndBytesConfig

    check_block_width(base)
    quantisation = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model = load_causal_model(
        base, dtype=dtype, quantization_config=quantisation, device_map={"": device}
    )
    _keep_differentiable(model)
    return prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
        model, use_gradient_checkpointing=settings.gradient_checkpointing
    )


def _keep_differentiable(model: Any) -> None:
    """Stops bitsandbytes from packing weights for its CPU inference kernel.

    On CPUs with AVX512-BF16 its first forward pass in eval mode packs a layer's weights for good,
    and every later one, in training too, then runs a kernel that has no gradient: an evaluation
    would silently spoil the steps after it.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def check_block_width(base: BaseModel) -> None:
    """Raises TrainingError where a layer cannot be quantised; reads the configuration only."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with loading(f"no model could be loaded from {base.path}"):
        config = AutoConfig.from_pretrained(
            base.path, revision=base.revision, trust_remote_code=base.trust_remote_code
        )
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(
            config, trust_remote_code=base.trust_remote_code
        )
    odd = [
        f"{name} ({module.in_features:,})"
        for name, module in skeleton.named_modules()
        if isinstance(module, nn.Linear)
        and module is not skeleton.get_output_embeddings()
        and module.in_features % _BLOCK
    ]
    if odd:
        raise TrainingError(
            f"{len(odd):,} layers of {base.path} cannot be held in 4 bits: {shorten_ids(odd)}",
            expected=f"an input width that is a multiple of {_BLOCK}",
            hint="give --no_4bit, or method lora",
        )


def tidy_adapter(folder: Path, *, base: BaseModel) -> None:
    """Makes a saved adapter's files the same for the same weights, and drops what says nothing.

    peft writes a model card of empty headings, and its lists in an order that changes from run to
    run.
    """
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / _CONFIG_NAME
    if not path.exists():
        return
    config = read_json(path)
    for key in ("target_modules", "exclude_modules"):
        if isinstance(config.get(key), list):
            config[key].sort()
    config["base_model_name_or_path"] = base.path
    config["revision"] = base.revision
    write_text(path, json.dumps(config, indent=2, sort_keys=True) + "\n")

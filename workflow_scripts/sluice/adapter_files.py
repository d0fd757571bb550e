"""Adapters of peft: the folder that holds one, and how it is put on a model that it fits."""

import warnings
from pathlib import Path
from typing import Any

from sluice.errors import ModelError, shorten_ids
from sluice.files import read_json
from sluice.loading import loading

ADAPTER_CONFIG = "adapter_config.json"


def check_adapter(folder: Path) -> None:
    """Raises ModelError where a folder holds no adapter, or is not there."""
    if (folder / ADAPTER_CONFIG).is_file():
        return
    is_whole = (folder / "config.json").is_file()
    raise ModelError(
        f"{folder} holds no adapter" if folder.exists() else f"the folder {folder} does not exist",
        expected=f"a folder with {ADAPTER_CONFIG} and adapter_model.safetensors",
        hint="it is a whole model already" if is_whole else "fine-tune with method lora first",
    )


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """What adapter_config.json says.

    Raises:
        ModelError: the folder holds no adapter, or its configuration is none.
    """
    check_adapter(folder)
    config = read_json(folder / ADAPTER_CONFIG)
    if not isinstance(config, dict):
        raise ModelError(f"the configuration of the adapter {folder} is no mapping")
    return config


def attach_adapter(model: Any, adapter: Path) -> Any:
    """The model with an adapter on it.

    peft passes over tensors that have no place in the model, and leaves those at random that the
    adapter lacks; here both are errors.

    Raises:
        ModelError: the folder holds no adapter, or one that does not fit the model.
    """
    from peft import PeftModel

    what = f"the adapter {adapter} does not fit its base"
    base = read_adapter_config(adapter).get("base_model_name_or_path")
    expected = f"the model that it was trained on: {base}" if base else None
    with loading(what, expected=expected), warnings.catch_warnings():
        # The error below says it.
        warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)
        attached = PeftModel.from_pretrained(model, str(adapter))
        # Loaded again, since the first time does not return what was left over.
        found = attached.load_adapter(str(adapter), "default")
    problems = _misfits(found, is_prompt=attached.active_peft_config.is_prompt_learning)
    if problems:
        raise ModelError(f"{what}: {'; '.join(problems)}", expected=expected)
    return attached


def _misfits(found: Any, *, is_prompt: bool) -> list[str]:
    """What an adapter has too much and too little.

    Args:
        found: what peft returned.
        is_prompt: whether the adapter is a learnt prompt, whose tensors stand beside the model.
    """
    # VB-LoRA stores the one bank once that all its layers share.
    missing = [name for name in found.missing_keys if "vblora_vector_bank" not in name]
    homeless = [] if is_prompt else found.unexpected_keys
    return [
        f"{len(names):,} {what} ({shorten_ids(names, limit=2)})"
        for names, what in (
            (homeless, "of its tensors have no place in the model"),
            (missing, "tensors that the model needs are missing in it"),
        )
        if names
    ]

"""An adapter folded into its base: one plain checkpoint that any server loads."""

# Shape letters: B rows, T tokens, V vocabulary.

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sluice.adapter_files import attach_adapter, check_adapter, read_adapter_config
from sluice.chat import load_tokenizer
from sluice.errors import ModelError
from sluice.files import atomic_folder, write_json
from sluice.logs import get_logger
from sluice.outputs import check_replaceable
from sluice.training.adapters import BaseModel, load_causal_model

logger = get_logger(__name__)

_PROOF = "merge.json"
_PROBE_ROWS, _PROBE_TOKENS = 4, 64
_TOLERANCES_NATS = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}


def merge_adapter(
    adapter: Path,
    output: Path,
    *,
    base: BaseModel | None = None,
    tolerance_nats: float | None = None,
) -> dict[str, Any]:
    """Writes base + adapter as one model in the base's own precision, and proves it the same.

    The base is loaded unquantised, also where the adapter was trained on a 4-bit one. The written
    folder is read again and compared with base and adapter held apart, over probe sequences.

    Args:
        adapter: folder with adapter_config.json.
        output: folder to make; ``merge.json`` in it says how well the two agree. An earlier merge
            is replaced, any other folder that holds something is not.
        base: the one that the adapter names where None.
        tolerance_nats: greatest mean KL divergence; by precision where None.
    Raises:
        ConfigError: the output would take the place of something else.
        ModelError: the folder holds no adapter, the base cannot be loaded, the adapter does not
            fit it, or the two differ.
    """
    check_adapter(adapter)
    base = base or named_base(adapter)
    check_replaceable(
        output,
        is_ours=(output / _PROOF).is_file(),
        inputs={"the base": base.path, "the adapter": adapter},
    )
    plain = load_causal_model(base, dtype="auto").eval()
    probe_BT = _probe(plain.config.vocab_size)
    before_BTV = _log_probabilities(plain, probe_BT)
    apart = attach_adapter(plain, adapter).eval()
    apart_BTV = _log_probabilities(apart, probe_BT)
    merged = apart.merge_and_unload(safe_merge=True)
    with atomic_folder(output) as folder:
        merged.save_pretrained(folder)
        load_tokenizer(base.path, revision=base.revision).save_pretrained(folder)
        # Code that the base ships was written into the folder too.
        written = BaseModel(str(folder), trust_remote_code=base.trust_remote_code)
        again = load_causal_model(written, dtype="auto").eval()
        found = _compare(before_BTV, apart_BTV, _log_probabilities(again, probe_BT))
        limit = tolerance_nats or _TOLERANCES_NATS.get(again.dtype, 1e-2)
        _check_agreement(found, limit=limit, adapter=adapter)
        write_json(folder / _PROOF, {**found, "tolerance_nats": limit, "base": base.path})
    logger.info(
        "merged in %s: KL %.2g nats to base and adapter apart, which the adapter moved by %.2g",
        *(str(again.dtype).removeprefix("torch."), found["kl_nats"], found["adapter_kl_nats"]),
    )
    return found


def named_base(adapter: Path, *, trust_remote_code: bool = False) -> BaseModel:
    """The model that an adapter was trained on, as its configuration names it.

    Args:
        adapter: folder with adapter_config.json.
        trust_remote_code: whether Python code that the model's repository ships may run.
    Raises:
        ModelError: the folder holds no adapter.
    """
    config = read_adapter_config(adapter)
    name = config.get("base_model_name_or_path")
    if not isinstance(name, str):
        raise ModelError(f"the configuration of the adapter {adapter} names no base model")
    return BaseModel(name, config.get("revision"), trust_remote_code)


def _probe(vocab_size: int) -> Tensor:
    """Token sequences that have nothing to do with any training data; the same each time."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(vocab_size, (_PROBE_ROWS, _PROBE_TOKENS), generator=generator)


@torch.no_grad()
def _log_probabilities(model: Any, probe_BT: Tensor) -> Tensor:
    logits_BTV = model(input_ids=probe_BT, use_cache=False).logits
    log_p_BTV: Tensor = logits_BTV.float().log_softmax(-1)
    return log_p_BTV


def _compare(before_BTV: Tensor, apart_BTV: Tensor, merged_BTV: Tensor) -> dict[str, float]:
    return {
        "kl_nats": _mean_kl(apart_BTV, merged_BTV),
        "largest_difference_nats": float((apart_BTV - merged_BTV).abs().max()),
        "same_top_token": float((apart_BTV.argmax(-1) == merged_BTV.argmax(-1)).float().mean()),
        "adapter_kl_nats": _mean_kl(apart_BTV, before_BTV),
    }


def _mean_kl(first_BTV: Tensor, second_BTV: Tensor) -> float:
    """Mean over tokens of KL(first || second), nats; rounding may leave it a hair below 0."""
    kl_BT = (first_BTV.exp() * (first_BTV - second_BTV)).sum(-1)
    return max(0.0, float(kl_BT.mean()))


def _check_agreement(found: dict[str, float], *, limit: float, adapter: Path) -> None:
    if found["kl_nats"] > limit:
        raise ModelError(
            f"the merged model differs from base and adapter by {found['kl_nats']:.3g} nats",
            where=str(adapter),
            expected=f"at most {limit:g} nats (mean KL divergence over {_PROBE_TOKENS} x "
            f"{_PROBE_ROWS} probe tokens)",
            hint="was it trained on another base? Else raise training.merge_tolerance_nats",
        )

"""A run of evaluate_base_loss: a model and texts in, loss.json and samples out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.base_loss.documents import Split, encode_split
from sluice.base_loss.losses import describe_loss, nats_by_document
from sluice.base_loss.ranks import Ranks, joined_ranks
from sluice.base_loss.samples import (
    continue_prompts,
    draw_free_samples,
    read_prompts,
    samples_text,
)
from sluice.base_loss.scoring import score_windows
from sluice.base_loss.windows import plan_windows
from sluice.chat import load_tokenizer
from sluice.devices import find_device
from sluice.engines.transformers_engine import TransformersEngine, load_model
from sluice.errors import ConfigError, ModelError
from sluice.files import write_json, write_text
from sluice.hub import prepare_transformers
from sluice.logs import get_logger
from sluice.precision import find_dtype
from sluice.seeds import derive_seed
from sluice.settings.base_loss import EvaluateBaseLoss
from sluice.settings.precision import Precision
from sluice.state import clear_state, open_state
from sluice.texts import Document, read_documents
from sluice.token_bytes import token_bytes

logger = get_logger(__name__)

_DEFAULT_SEQ_LEN = 2048


@dataclass(frozen=True)
class LossInputs:
    """What is evaluated on what."""

    model: str
    revision: str | None
    texts: dict[str, tuple[Path, ...]]
    """Name of a split -> its files and folders."""
    prompts: Path


def evaluate_base_loss(
    settings: EvaluateBaseLoss,
    inputs: LossInputs,
    *,
    output: Path,
    samples_output: Path,
    state_root: Path,
) -> None:
    """Bits per byte of every split, greedy and free samples; a killed run goes on where it was.

    Started by torchrun, the processes share the windows; the first one samples and writes.

    Raises:
        DataError: a text cannot be read.
        ModelError: model or tokenizer cannot be loaded, or the tokens' bytes cannot be told.
        ConfigError: windows are longer than the model's context.
        ScoringError: a split has nothing to count, or a loss is not finite.
        DeviceError: the device is not there, or its memory does not hold a single window.
        TrainingError: two processes would share a GPU.
    """
    prepare_transformers()
    prompts = read_prompts(inputs.prompts)
    with joined_ranks(settings.device) as (ranks, device):
        tokenizer = load_tokenizer(inputs.model, revision=inputs.revision, needs_template=False)
        splits = _encode_splits(settings, inputs, tokenizer)
        model = _load(inputs, device, precision=settings.precision)
        state = _open_state(state_root, settings, inputs, splits)
        result = {
            "model": inputs.model,
            "revision": inputs.revision,
            "dtype": str(model.dtype).removeprefix("torch."),
            "max_seq_len": _window_tokens(model, settings),
            "settings": settings.model_dump(mode="json"),
            "splits": {
                name: _evaluate_split(
                    model, split, settings=settings, notes=state / name, ranks=ranks, name=name
                )
                for name, split in splits.items()
            },
        }
        if not ranks.is_first:
            return
        samples = _sample(model, tokenizer, prompts, settings)
    write_text(samples_output, samples_text(**samples))
    write_json(output, {**result, "samples": samples})
    clear_state(state)


def _encode_splits(
    settings: EvaluateBaseLoss, inputs: LossInputs, tokenizer: Any
) -> dict[str, Split]:
    table = token_bytes(tokenizer)
    splits = {}
    for name, paths in inputs.texts.items():
        documents = read_documents(paths, max_chars=settings.max_chars, doc_cap=settings.doc_cap)
        splits[name] = encode_split(
            documents,
            tokenizer=tokenizer,
            table=table,
            dialogues=settings.dialogues,
            split_tokens=settings.split_tokens,
        )
        num_counted = sum(each.num_counted for each in splits[name].documents)
        logger.info(
            "%s: %d documents, %d counted tokens", name, len(splits[name].documents), num_counted
        )
    return splits


def _load(inputs: LossInputs, device: str, *, precision: Precision) -> Any:
    place = find_device(device)
    dtype = find_dtype(precision, place)
    model = load_model(inputs.model, revision=inputs.revision, dtype=dtype).to(place).eval()
    logger.info("%s on %s in %s", inputs.model, place, dtype)
    return model


def _window_tokens(model: Any, settings: EvaluateBaseLoss) -> int:
    """Tokens of a window: the settings', or what the model reads at most, up to 2,048."""
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if settings.max_seq_len is None:
        return min(_DEFAULT_SEQ_LEN, room or _DEFAULT_SEQ_LEN)
    if room is not None and settings.max_seq_len > room:
        raise ConfigError(
            f"'max_seq_len' is {settings.max_seq_len:,}, and the model reads {room:,} tokens",
            expected=f"at most {room:,}",
        )
    return settings.max_seq_len


def _open_state(
    root: Path, settings: EvaluateBaseLoss, inputs: LossInputs, splits: dict[str, Split]
) -> Path:
    """The folder of this run's progress: the same for any number of processes."""
    local = Path(inputs.model)
    known = {
        "revision": inputs.revision,
        "model": None if local.exists() else inputs.model,
        "splits": {name: split.digest() for name, split in splits.items()},
    }
    state = open_state(
        root,
        script="evaluate_base_loss",
        settings={**settings.model_dump(mode="json"), **known},
        inputs=[local] if local.exists() else [],
    )
    for name in splits:
        (state / name).mkdir(exist_ok=True)
    return state


def _evaluate_split(
    model: Any,
    split: Split,
    *,
    settings: EvaluateBaseLoss,
    notes: Path,
    ranks: Ranks,
    name: str,
) -> dict[str, Any]:
    lengths = [len(document.ids_T) for document in split.documents]
    size = _window_tokens(model, settings)
    _check_vocabulary(model, split)
    windows = plan_windows(lengths, max_seq_len=size, stride=min(settings.stride or size, size))
    nats_W = score_windows(
        model,
        split.documents,
        windows,
        batch_size=settings.device_batch_size,
        notes=notes,
        ranks=ranks,
    )
    nats_N = nats_by_document(nats_W, windows, num_documents=len(lengths))
    seed = derive_seed(settings.seed, "evaluate_base_loss", name)
    found = describe_loss(nats_N, split.documents, seed=seed)
    logger.info("%s: %.4f bits per byte", name, found["bits_per_byte"])
    return {**found, "num_documents_changed_by_tokenizer": split.num_changed}


def _check_vocabulary(model: Any, split: Split) -> None:
    largest = max(int(document.ids_T.max(initial=0)) for document in split.documents)
    size = model.get_input_embeddings().num_embeddings
    if largest >= size:
        raise ModelError(
            f"the tokenizer has token {largest:,}, the model an embedding of {size:,} tokens",
            hint="tokenizer and weights are of different models",
        )


def _sample(
    model: Any, tokenizer: Any, prompts: list[Document], settings: EvaluateBaseLoss
) -> dict[str, list[dict[str, Any]]]:
    engine = TransformersEngine(model, tokenizer, batch_size=settings.device_batch_size)
    return {
        "greedy": continue_prompts(engine, tokenizer, prompts, num_tokens=settings.sample_tokens),
        "free": draw_free_samples(
            engine,
            tokenizer,
            num_samples=settings.num_free_samples,
            num_tokens=settings.sample_tokens,
            seed=settings.seed,
        ),
    }

"""From a corpus and a tokenizer folder to a model folder."""

import math
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM

from sluice.base.corpus import DESCRIPTION, Corpus, read_corpus
from sluice.base.held_out import HeldOut
from sluice.base.modeling import make_model
from sluice.base.packing import PackedRows, rows_in_order
from sluice.base.steps import PackedSteps, SampleSteps, Steps
from sluice.base.training import make_accelerator, train
from sluice.chat import encode_samples, load_tokenizer
from sluice.errors import ConfigError, DataError
from sluice.files import atomic_folder, read_json, write_json
from sluice.hub import prepare_transformers
from sluice.logs import get_logger
from sluice.memory import memory_explained
from sluice.records import read_samples
from sluice.settings.base_model import TrainBaseModel
from sluice.state import clear_state, open_state
from sluice.token_bytes import token_bytes

logger = get_logger(__name__)

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


@dataclass(frozen=True)
class Material:
    """What a model is trained and evaluated on."""

    steps: Steps
    held_out: HeldOut | None = None
    begin_token_id: int | None = None
    """What documents of packed text begin with."""


def build_base_model(
    settings: TrainBaseModel,
    *,
    samples_path: Path | None = None,
    corpus_folder: Path | None = None,
    tokenizer_folder: Path,
    output: Path,
    log_path: Path,
    state_root: Path,
) -> None:
    """Trains on samples or on packed text, and writes the model folder and the training log.

    Args:
        settings: shape, budget, seed.
        samples_path: canonical samples; the loss is on their responses.
        corpus_folder: tokenised text instead of them; the loss is on every token.
        tokenizer_folder: the tokenizer, whose files go into the model folder.
        output: model folder.
        log_path: training log, JSON.
        state_root: where an interrupted run keeps its progress.
    Raises:
        ConfigError: not exactly one of samples and corpus, or settings that do not fit together.
        ModelError: the tokenizer cannot be loaded.
        DataError: the corpus cannot be read, or has nothing to learn from.
        TrainingError: the loss is no number any more.
        DeviceError: a GPU's memory does not hold it.
    """
    prepare_transformers()
    source = _one_source(samples_path, corpus_folder)
    tokenizer = load_tokenizer(tokenizer_folder, needs_template=samples_path is not None)
    accelerator = make_accelerator()
    # A step's size does not depend on it, so another launcher may start as many as it likes.
    settings = settings.model_copy(update={"num_processes": accelerator.num_processes})
    state = open_state(
        state_root,
        script="train_base_model",
        settings=settings.model_dump(mode="json"),
        # A corpus's description holds the hashes of its files, which may be large.
        inputs=[source if samples_path else source / DESCRIPTION, tokenizer_folder],
    )
    load = load_samples if samples_path else load_corpus
    material = load(source, tokenizer, settings)
    model = make_model(tokenizer, settings, begin_token_id=material.begin_token_id)
    num_parameters = sum(weight.numel() for weight in model.parameters())
    logger.info("%s parameters on %s", f"{num_parameters:,}", accelerator.device)
    with _memory_explained(settings):
        log = train(
            model,
            material.steps,
            settings=settings,
            state=state,
            held_out=material.held_out,
            accelerator=accelerator,
        )
    if accelerator.is_main_process:
        logger.info("loss %.3f nats after %d steps", log.losses[-1], log.num_steps)
        _write_model(model, tokenizer_folder, output, begin=_begin_token(tokenizer, material))
        write_json(log_path, {"num_parameters": num_parameters, **vars(log)})
        clear_state(state)
    accelerator.end_training()


def _memory_explained(settings: TrainBaseModel) -> AbstractContextManager[None]:
    """What a pass holds, and how it holds less."""
    most = settings.batch_size // settings.num_processes
    num_rows = math.ceil(settings.batch_size / (settings.accumulation * settings.num_processes))
    more = f"more accumulation, up to {most}, takes the same steps with fewer rows a pass; "
    return memory_explained(
        f"a model in training and passes of {num_rows} rows x up to "
        f"{settings.sequence_length:,} tokens (accumulation {settings.accumulation})",
        hint=(more if settings.accumulation < most else "")
        + "a smaller sequence_length needs less, too",
    )


def _one_source(samples_path: Path | None, corpus_folder: Path | None) -> Path:
    given = [path for path in (samples_path, corpus_folder) if path is not None]
    if len(given) != 1:
        raise ConfigError(
            f"{'both' if given else 'neither'} of --samples and --corpus",
            expected="exactly one of them",
        )
    return given[0]


def load_samples(path: Path, tokenizer: Any, settings: TrainBaseModel) -> Material:
    """Canonical samples as steps."""
    samples = encode_samples(
        tokenizer, list(read_samples(path)), max_tokens=settings.sequence_length
    )
    logger.info("%d samples", len(samples))
    return Material(SampleSteps(samples, settings, pad_token_id=tokenizer.pad_token_id))


def load_corpus(folder: Path, tokenizer: Any, settings: TrainBaseModel) -> Material:
    """Tokenised text as packed steps, and its held-out part."""
    corpus = read_corpus(folder)
    if corpus.vocab_size != len(tokenizer):
        raise DataError(
            f"the corpus has ids of another tokenizer, of {corpus.vocab_size:,} entries",
            where=str(folder),
            expected=f"{len(tokenizer):,} entries",
            hint="tokenize_corpus.py with the same --tokenizer",
        )
    rows = PackedRows(corpus.train, row_tokens=settings.sequence_length, seed=settings.seed)
    num_seen = settings.num_steps * settings.batch_size
    logger.info(
        "%s tokens of text in %s rows, %.2f epochs",
        *(f"{len(corpus.train.tokens):,}", f"{rows.rows_per_epoch:,}"),
        num_seen / rows.rows_per_epoch,
    )
    return Material(
        PackedSteps(rows, settings), _held_out(corpus, tokenizer, settings), corpus.begin_token_id
    )


def _held_out(corpus: Corpus, tokenizer: Any, settings: TrainBaseModel) -> HeldOut | None:
    rows = rows_in_order(
        corpus.held_out, row_tokens=settings.sequence_length, max_tokens=settings.eval_tokens
    )
    if not rows:
        return None
    pass_rows = max(1, settings.batch_size // (settings.accumulation * settings.num_processes))
    return HeldOut(rows, token_bytes_V=_bytes_of_tokens(tokenizer), batch_size=pass_rows)


def _bytes_of_tokens(tokenizer: Any) -> Tensor:
    """Bytes that each token stands for; 0 for special ones and for ids without a token."""
    table = token_bytes(tokenizer)
    counts = [len(each or b"") for each in table]
    return torch.tensor(counts + [0] * (len(tokenizer) - len(counts)))


def _begin_token(tokenizer: Any, material: Material) -> str | None:
    index = material.begin_token_id
    return None if index is None else tokenizer.convert_ids_to_tokens(index)


def _write_model(
    model: Qwen3ForCausalLM, tokenizer_folder: Path, output: Path, *, begin: str | None
) -> None:
    """The model folder; its tokenizer names the token that the model's documents began with."""
    with atomic_folder(output) as folder:
        model.save_pretrained(folder)
        for name in _TOKENIZER_FILES:
            if (tokenizer_folder / name).exists():
                shutil.copyfile(tokenizer_folder / name, folder / name)
        if begin is not None:
            path = folder / "tokenizer_config.json"
            write_json(path, {**read_json(path), "bos_token": begin})

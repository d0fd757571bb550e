"""From a corpus file and a tokenizer folder to a model folder."""

import shutil
from pathlib import Path

from transformers import Qwen3ForCausalLM

from sluice.base.training import TrainingLog, make_model, train
from sluice.chat import encode_samples, load_tokenizer
from sluice.files import atomic_folder, write_json
from sluice.logs import get_logger
from sluice.records import read_samples
from sluice.settings.base_model import TrainBaseModel
from sluice.state import clear_state, open_state

logger = get_logger(__name__)

_MAX_TOKENS = 512
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def build_base_model(
    settings: TrainBaseModel,
    *,
    samples_path: Path,
    tokenizer_folder: Path,
    output: Path,
    log_path: Path,
    state_root: Path,
) -> None:
    """Trains on the corpus and writes the model folder and the training log.

    Raises:
        ModelError: the tokenizer cannot be loaded.
        DataError: the corpus cannot be read or has no response.
    """
    tokenizer = load_tokenizer(tokenizer_folder)
    samples = encode_samples(tokenizer, list(read_samples(samples_path)), max_tokens=_MAX_TOKENS)
    state = open_state(
        state_root,
        script="train_base_model",
        settings=settings.model_dump(mode="json"),
        inputs=[samples_path, tokenizer_folder],
    )
    model = make_model(tokenizer, settings)
    num_parameters = sum(weight.numel() for weight in model.parameters())
    logger.info("%d samples, %d parameters", len(samples), num_parameters)
    log = train(model, samples, settings=settings, state=state, pad_token_id=tokenizer.pad_token_id)
    logger.info("loss %.3f nats after %d steps", log.losses[-1], len(log.losses))
    _write_model(model, tokenizer_folder, output)
    _write_log(log, num_parameters=num_parameters, path=log_path)
    clear_state(state)


def _write_model(model: Qwen3ForCausalLM, tokenizer_folder: Path, output: Path) -> None:
    with atomic_folder(output) as folder:
        model.save_pretrained(folder)
        for name in _TOKENIZER_FILES:
            shutil.copyfile(tokenizer_folder / name, folder / name)


def _write_log(log: TrainingLog, *, num_parameters: int, path: Path) -> None:
    write_json(path, {"num_parameters": num_parameters, **vars(log)})

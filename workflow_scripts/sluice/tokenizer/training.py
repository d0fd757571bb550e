"""A byte-level BPE tokenizer with chat and think tokens, as a folder that AutoTokenizer loads."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from sluice.errors import DataError
from sluice.files import write_json, write_text
from sluice.logs import get_logger
from sluice.records import Sample

logger = get_logger(__name__)

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)
# Not special: decoding with skip_special_tokens must keep a model's thoughts.
THINK_TOKENS = ("<think>", "</think>")
_MAX_LENGTH = 4096


def train_tokenizer(samples: Iterable[Sample], *, vocab_size: int) -> Tokenizer:
    """Byte-level BPE over the messages' texts. Digits stand alone, so that numbers can be learnt.

    Args:
        samples: read once, never held in memory.
        vocab_size: entries in all, bytes and added tokens included.
    Raises:
        DataError: there was no text.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(THINK_TOKENS),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = _Counted(
        # Roles stand in every prompt, so they should be one token each.
        text
        for sample in samples
        for message in sample.messages
        for text in (message.role, message.content)
    )
    tokenizer.train_from_iterator(texts, trainer)
    if texts.count == 0:
        raise DataError("there is no text to train a tokenizer on")
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in THINK_TOKENS])
    logger.info("%d texts in, %d tokens out", texts.count, tokenizer.get_vocab_size())
    return tokenizer


class _Counted:
    """An iterator that knows how much it has yielded."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = iter(texts)
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.count += 1
            yield text


def tokenizer_config() -> dict[str, Any]:
    """The content of tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": TURN_END,
        "pad_token": END_OF_TEXT,
        "additional_special_tokens": [TURN_START],
        "clean_up_tokenization_spaces": False,
        "model_max_length": _MAX_LENGTH,
    }


def write_tokenizer(tokenizer: Tokenizer, *, chat_template: str, folder: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja into a folder."""
    parts = json.loads(tokenizer.to_str())
    write_text(folder / "tokenizer.json", json.dumps(parts, ensure_ascii=False, indent=1) + "\n")
    write_json(folder / "tokenizer_config.json", tokenizer_config())
    write_text(folder / "chat_template.jinja", chat_template)

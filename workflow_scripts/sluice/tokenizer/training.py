"""A byte-level BPE tokenizer with chat and think tokens, as a folder that AutoTokenizer loads."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from sluice.errors import ConfigError, DataError
from sluice.files import write_json, write_text
from sluice.logs import get_logger
from sluice.texts import Document

logger = get_logger(__name__)

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)
# Not special: decoding with skip_special_tokens must keep a model's thoughts.
THINK_TOKENS = ("<think>", "</think>")
_MAX_LENGTH = 4096
_NUM_BYTES = 256


def train_tokenizer(
    documents: Iterable[Document],
    *,
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    split_pattern: str | None = None,
) -> Tokenizer:
    """Byte-level BPE over texts, of dialogues over each role and content by itself.

    Args:
        documents: read once, never held in memory.
        vocab_size: entries in all, bytes and added tokens included.
        special_tokens: besides those of the chat template.
        split_pattern: what a match of this regular expression holds is never merged with what
            stands beside it; None splits as GPT-2 does, and digits one by one, so that numbers can
            be learnt.
    Raises:
        DataError: there was no text.
        ConfigError: the pattern is no regular expression, a special token is empty or given twice,
            or the vocabulary has no room for bytes and special tokens.
    """
    all_special = _check_special_tokens(special_tokens, vocab_size=vocab_size)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _pre_tokenizer(split_pattern)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(THINK_TOKENS),
        special_tokens=all_special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # Roles stand in every prompt, so they should be one token each.
    texts = _Counted(text for document in documents for text in document.pieces)
    tokenizer.train_from_iterator(texts, trainer)
    if texts.count == 0:
        raise DataError("there is no text to train a tokenizer on")
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in THINK_TOKENS])
    logger.info("%d texts in, %d tokens out", texts.count, tokenizer.get_vocab_size())
    return tokenizer


def _check_special_tokens(extra: Sequence[str], *, vocab_size: int) -> list[str]:
    every = [*SPECIAL_TOKENS, *extra]
    taken = [*every, *THINK_TOKENS]
    wrong = sorted({token for token in extra if not token or taken.count(token) > 1})
    if wrong:
        raise ConfigError(
            f"'special_tokens' has {', '.join(map(repr, wrong))}",
            expected="tokens that are not empty, not given twice and not there anyway: "
            + ", ".join((*SPECIAL_TOKENS, *THINK_TOKENS)),
        )
    least = _NUM_BYTES + len(every) + len(THINK_TOKENS)
    if vocab_size < least:
        raise ConfigError(
            f"'vocab_size' is {vocab_size:,}, which has no room for bytes and special tokens",
            expected=f"at least {least:,}",
        )
    return every


def _pre_tokenizer(split_pattern: str | None) -> pre_tokenizers.PreTokenizer:
    try:
        pattern = Regex(r"\p{N}" if split_pattern is None else split_pattern)
    except Exception as error:  # the library raises nothing more exact
        raise ConfigError(
            f"'split_pattern' is no regular expression: {error}",
            expected="Oniguruma's syntax, in which \\p{L} is a letter",
        ) from None
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split_pattern is None),
        ]
    )


class _Counted:
    """An iterator that knows how much it has yielded."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = iter(texts)
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.count += 1
            yield text


def tokenizer_config(special_tokens: Sequence[str] = ()) -> dict[str, Any]:
    """The content of tokenizer_config.json, with special tokens besides those of the template."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": TURN_END,
        "pad_token": END_OF_TEXT,
        "additional_special_tokens": [TURN_START, *special_tokens],
        "clean_up_tokenization_spaces": False,
        "model_max_length": _MAX_LENGTH,
    }


def write_tokenizer(
    tokenizer: Tokenizer, *, chat_template: str, folder: Path, special_tokens: Sequence[str] = ()
) -> None:
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja into a folder."""
    parts = json.loads(tokenizer.to_str())
    write_text(folder / "tokenizer.json", json.dumps(parts, ensure_ascii=False, indent=1) + "\n")
    write_json(folder / "tokenizer_config.json", tokenizer_config(special_tokens))
    write_text(folder / "chat_template.jinja", chat_template)

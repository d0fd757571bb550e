"""What a model writes: the likeliest continuation of each prompt, and free samples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sluice.base_loss.documents import start_tokens
from sluice.chat_tokens import render, tokenize
from sluice.engines.engine import Sampling
from sluice.engines.transformers_engine import TransformersEngine
from sluice.errors import DataError, ModelError
from sluice.seeds import derive_seed
from sluice.texts import Document, read_documents


def read_prompts(path: Path) -> list[Document]:
    """Prompts: the lines of a .txt file that are not blank, or the rows of any other text source.

    Raises:
        DataError: the file is missing, cannot be read or holds no prompt.
    """
    documents = list(read_documents([path]))
    if path.suffix == ".txt":
        lines = [line for document in documents for line in document.text.splitlines()]
        documents = [Document(str(path), line) for line in lines if line.strip()]
    if not documents:
        raise DataError(f"{path} holds no prompt", expected="one prompt a line")
    return documents


def continue_prompts(
    engine: TransformersEngine, tokenizer: Any, prompts: Sequence[Document], *, num_tokens: int
) -> list[dict[str, Any]]:
    """The likeliest continuation of each prompt.

    Plain text is continued as it stands; a dialogue is answered.

    Raises:
        ModelError: the tokenizer has no chat template for a dialogue.
    """
    encoded = [_encode_prompt(tokenizer, prompt) for prompt in prompts]
    sampling = Sampling(temperature=0, top_p=1, max_new_tokens=num_tokens)
    written = engine.complete(encoded, seeds=[0] * len(encoded), sampling=sampling)
    return [
        {"prompt": prompt.text, "completion": each.text, "num_tokens": each.num_tokens}
        for prompt, each in zip(prompts, written, strict=True)
    ]


def draw_free_samples(
    engine: TransformersEngine, tokenizer: Any, *, num_samples: int, num_tokens: int, seed: int
) -> list[dict[str, Any]]:
    """Samples at temperature 1 that nothing but the token of a document's start stands before.

    Sample i depends on the seed and on i alone, not on how many there are.
    """
    start = start_tokens(tokenizer)
    if num_samples == 0:
        return []
    if not start:
        raise ModelError("the tokenizer has no token to begin a free sample with")
    seeds = [derive_seed(seed, "draw_free_samples", index) for index in range(num_samples)]
    sampling = Sampling(temperature=1, top_p=1, max_new_tokens=num_tokens)
    written = engine.complete([tuple(start)] * num_samples, seeds=seeds, sampling=sampling)
    return [{"completion": each.text, "num_tokens": each.num_tokens} for each in written]


def _encode_prompt(tokenizer: Any, prompt: Document) -> tuple[int, ...]:
    if not prompt.messages:
        ids = tokenizer(prompt.text, add_special_tokens=False)["input_ids"]
        return (*start_tokens(tokenizer), *ids)
    if not tokenizer.chat_template:
        raise ModelError(
            f"the prompt of {prompt.where} is a dialogue, and the tokenizer has no chat template",
            hint="give prompts as plain text",
        )
    messages = [message.model_dump() for message in prompt.messages]
    ((ids, _),) = tokenize(tokenizer, [render(tokenizer, messages, opens_turn=True)])
    return tuple(ids)


def samples_text(greedy: Sequence[dict[str, Any]], free: Sequence[dict[str, Any]]) -> str:
    """The samples for reading: a heading over each, a blank line between."""
    parts = [
        f"== greedy {number}\n{each['prompt']}[...]{each['completion']}\n"
        for number, each in enumerate(greedy, start=1)
    ]
    parts += [
        f"== free {number}, temperature 1\n{each['completion']}\n"
        for number, each in enumerate(free, start=1)
    ]
    return "\n".join(parts)

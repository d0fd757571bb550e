"""A tiny tokenizer, samples, text and settings that the tests of base training share."""

import json
import random

from support import ROOT

from sluice.records import Message, Sample
from sluice.settings.base_model import TrainBaseModel

TEMPLATE = (ROOT / "resources/tokenizer/chat_template.jinja").read_text()
TINY = TrainBaseModel(
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    intermediate_size=16,
    num_steps=6,
    batch_size=4,
    rise_steps=2,
    checkpoint_every=3,
)
# Rows of 16 tokens; evaluations after the steps 2, 4 and 6.
TINY_PACKED = TINY.model_copy(update={"sequence_length": 16, "eval_every": 2})
_WORDS = ("the", "a", "river", "stone", "bird", "runs", "sings", "under", "old", "and", "cold")


def samples():
    """Twenty questions with answers of five lengths."""
    for n in range(20):
        messages = (
            Message(role="user", content=f"What is {n}+1?"),
            Message(role="assistant", content=f"Answer: {n + 1}" + "." * (n % 5)),
        )
        yield Sample(messages=messages, dataset="some", id=f"some_{n}")


def documents(count, *, seed=0):
    """Texts of 3 to 40 words; one in seven ends in Chinese, whose tokens are bytes here."""
    rng = random.Random(seed)
    for number in range(count):
        words = [rng.choice(_WORDS) for _ in range(rng.randint(3, 40))]
        yield " ".join(words) + ("。春天" if number % 7 == 0 else ".")


def write_documents(path, texts):
    """JSON Lines with `text`."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path

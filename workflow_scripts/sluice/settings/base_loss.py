"""Settings of the base_loss stage: bits per byte and samples of base models."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import Seeded, Settings
from sluice.settings.precision import Precision


class LossMeasurement(Settings):
    """How much text is scored, in which windows, and what is sampled."""

    device: str = "auto"
    """cpu, cuda, cuda:1 ...; auto takes a GPU where there is one. Several processes started by
    torchrun take one GPU each."""
    precision: Precision = "auto"
    """Of weights and activations; auto: bfloat16 on a GPU, float32 on a CPU. A token's nats are
    float32, their sums float64."""
    device_batch_size: Annotated[int, Field(ge=1)] = 32
    """Windows that go through the model at once on each device; less needs less memory. The result
    does not depend on it."""
    split_tokens: Annotated[int, Field(ge=1)] | None = 524_288
    """Tokens of each split: documents are taken in order until they have as many. Tokens are the
    model's own; to compare models of different tokenizers on the same text, set max_chars."""
    max_chars: Annotated[int, Field(ge=1)] | None = None
    """Characters of each split; no limit where not given."""
    doc_cap: Annotated[int, Field(ge=1)] | None = None
    """Characters of a document; the rest of a longer one is not scored."""
    max_seq_len: Annotated[int, Field(ge=1)] | None = None
    """Tokens of a window; where not given, what the model can read, at most 2,048. A longer
    document is cut into several windows."""
    stride: Annotated[int, Field(ge=1)] | None = None
    """Tokens that each further window of a long document predicts, behind as many of those before
    them as fit. Where not given (or too large), as many as a window has: the fastest."""
    dialogues: Literal["responses", "text"] = "responses"
    """What of a dialogue counts. responses: what the assistant says, behind its prompt in the chat
    template. text: the contents of all messages as one plain text."""
    num_free_samples: Annotated[int, Field(ge=0)] = 8
    """Samples that are drawn at temperature 1 from the start of a document."""
    sample_tokens: Annotated[int, Field(ge=1)] = 64
    """Tokens of a sample at most."""


class EvaluateBaseLoss(LossMeasurement, Seeded):
    """Bits per byte and samples of one model."""


class BaseLossSettings(LossMeasurement):
    """The ``base_loss:`` section."""

    train_text: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "results/demo/base_corpus.jsonl",
    )
    """Text that the models have learnt from: files or folders (JSONL, Parquet, txt, compressed)."""
    heldout_text: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "results/demo/heldout_numbers.jsonl",
        "results/demo/heldout_countries.jsonl",
        "results/demo/heldout_cases.jsonl",
    )
    """Text that they have not seen."""
    prompts: str = "resources/base/prompts_v1.txt"
    """Prompts to continue greedily: one a line of a .txt file, or rows with ``text`` (continued) or
    ``messages`` (answered)."""

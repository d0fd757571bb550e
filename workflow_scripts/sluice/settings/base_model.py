"""Settings of the base stage: a Qwen3 from scratch, on samples or on packed text."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import Seeded, Settings


class BaseShape(Settings):
    """Which Qwen3 is built."""

    hidden_size: Annotated[int, Field(ge=16)] = 128
    """Width."""
    num_layers: Annotated[int, Field(ge=1)] = 2
    """Decoder layers."""
    num_heads: Annotated[int, Field(ge=1)] = 4
    """Attention heads."""
    num_kv_heads: Annotated[int, Field(ge=1)] = 2
    """Key and value heads (grouped-query attention)."""
    head_dim: Annotated[int, Field(ge=2)] | None = None
    """Width of a head, an even number; hidden_size / num_heads where none is given."""
    intermediate_size: Annotated[int, Field(ge=16)] = 256
    """Width of the feed-forward layers."""
    tie_word_embeddings: bool = True
    """Whether the output layer is the embedding; else it is a matrix of its own."""
    rope_theta: Annotated[float, Field(gt=1)] = 10_000.0
    """Base of the rotary position angles."""
    max_positions: Annotated[int, Field(ge=8)] = 4096
    """Longest context that the model's configuration promises, tokens."""


class BaseBudget(Settings):
    """How long and how fast is learnt."""

    num_steps: Annotated[int, Field(ge=1)] = 800
    """Optimiser steps. The budget is in steps: a loaded machine does a tenth of them a second."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Samples, or rows of packed text, a step, over all passes and processes."""
    accumulation: Annotated[int, Field(ge=1)] = 1
    """Forward passes that a process divides its part of a step into; memory depends on it, the
    result does not but for rounding."""
    sequence_length: Annotated[int, Field(ge=8)] = 512
    """Tokens that a row of packed text holds; samples are cut to it."""
    learning_rate: Annotated[float, Field(gt=0)] = 6e-3
    """Peak learning rate of AdamW, which moves embeddings and norms."""
    output_learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak learning rate of an output layer of its own, which AdamW moves too; learning_rate where
    none is given."""
    matrix_learning_rate: Annotated[float, Field(gt=0)] = 0.04
    """Peak step length of Muon, which moves the weight matrices; it follows the same schedule."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Decay of the weight matrices."""
    rise_steps: Annotated[int, Field(ge=0)] = 30
    """Steps over which the learning rates rise from 0."""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """How the rates fall after their rise. cosine: along half a cosine. wsd (warmup, stable,
    decay): they stay at their peak, then fall linearly over the last decay_share of the steps."""
    decay_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of all steps over which wsd falls."""
    final_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of their peak that the rates end with."""


class BaseWatch(Settings):
    """How training is watched, and where it goes on after an interruption."""

    eval_every: Annotated[int, Field(ge=1)] = 250
    """Steps between two evaluations on held-out text; there is one after the last step too."""
    eval_tokens: Annotated[int, Field(ge=1)] = 1_000_000
    """Most held-out tokens that an evaluation looks at: the first ones."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 150
    """Steps between two notes of the progress, from which an interrupted run goes on."""


class BaseMachines(Settings):
    """On what a model is trained."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the forward pass, and of Muon's iterations on a GPU; weights, norms of gradients
    and optimiser states are always float32."""
    num_processes: Annotated[int, Field(ge=1)] = 1
    """Processes that train together, one per GPU, each with a whole model (DDP). The result is that
    of one process but for rounding, so where another launcher starts them, its number counts."""


class TrainBaseModel(BaseShape, BaseBudget, BaseWatch, BaseMachines, Seeded):
    """Shape, training budget and machines of a base model."""


class HeldoutShare(Settings):
    """Which documents are held out."""

    heldout_share: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the documents that is held out to measure bits per byte, where no heldout_text
    names them; 0: none."""


class TokenizeCorpus(HeldoutShare, Seeded):
    """Text as tokens, some documents apart."""


class BaseSettings(BaseShape, BaseBudget, BaseWatch, BaseMachines, HeldoutShare):
    """The ``base:`` section."""

    text: tuple[str, ...] = ()
    """Text to train on: files or folders of JSONL (`text`), Parquet (`text`) or plain text. Where
    none is given, the model learns from the built-in samples."""
    heldout_text: tuple[str, ...] = ()
    """Text that is never trained on, in the same forms; where none is given, heldout_share of the
    documents of `text`."""

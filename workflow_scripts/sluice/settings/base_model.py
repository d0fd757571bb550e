"""Settings of the base stage: a small Qwen3 from scratch."""

from typing import Annotated

from pydantic import Field

from sluice.settings.base import Seeded


class TrainBaseModel(Seeded):
    """Shape and training budget of the built-in model."""

    hidden_size: Annotated[int, Field(ge=16)] = 128
    """Width."""
    num_layers: Annotated[int, Field(ge=1)] = 2
    """Decoder layers."""
    num_heads: Annotated[int, Field(ge=1)] = 4
    """Attention heads."""
    num_kv_heads: Annotated[int, Field(ge=1)] = 2
    """Key and value heads (grouped-query attention)."""
    intermediate_size: Annotated[int, Field(ge=16)] = 256
    """Width of the feed-forward layers."""
    num_steps: Annotated[int, Field(ge=1)] = 800
    """Optimiser steps. The budget is in steps: a loaded machine does a tenth of them a second."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Samples a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 6e-3
    """Peak learning rate of AdamW, which moves embeddings and norms; it falls along a cosine."""
    matrix_learning_rate: Annotated[float, Field(gt=0)] = 0.04
    """Peak step length of Muon, which moves the weight matrices; it falls along the same cosine."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Decay of the weight matrices."""
    rise_steps: Annotated[int, Field(ge=0)] = 30
    """Steps over which the learning rates rise from 0."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 150
    """Steps between two notes of the progress, from which an interrupted run goes on."""


class BaseSettings(TrainBaseModel):
    """The ``base:`` section."""

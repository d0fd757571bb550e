"""Settings of the gate stage: convert, prove, warm up, run."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import Seeded, Settings
from sluice.settings.data import MaxTokens, TokenLimit

LossType = Literal["sigmoid", "linear"]
Flaw = Literal[
    "swapped_answer",
    "cut_off",
    "noisy_characters",
    "repetition",
    "shuffled_words",
    "changed_digits",
    "mixed_answers",
]


class GateShape(Settings):
    """How gates start and what they learn; part of the checkpoint's config."""

    quality_gate_init_mean: float = 0.0
    """Mean of the normal distribution that gate weights start from."""
    quality_gate_init_std: Annotated[float, Field(ge=0)] = 0.02
    """Standard deviation of that distribution."""
    quality_loss_weight: Annotated[float, Field(ge=0)] = 1.0
    """Factor on the gate loss."""
    quality_loss_type: LossType = "sigmoid"
    """sigmoid: cross-entropy, real samples against flawed copies. linear: the older mean gate,
    minimised; it ranked no better than chance and is kept for comparison."""


class ComparePrecision(Settings):
    """How the converted model is proven to be its source."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the comparison's forward passes."""


class WarmUp(Settings):
    """How gates are trained; the backbone is frozen."""

    warm_up_fraction: Annotated[float, Field(gt=0, le=1)] = 0.025
    """Share of the training samples that gates learn from."""
    warm_up_steps: Annotated[int, Field(ge=1)] = 150
    """Optimiser steps."""
    warm_up_batch_size: Annotated[int, Field(ge=2)] = 32
    """Real samples in a step; with the sigmoid loss each has one flawed copy beside it."""
    warm_up_learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    """Learning rate of AdamW, falling to zero along a cosine."""
    warm_up_flaws: tuple[Flaw, ...] = (
        "swapped_answer",
        "cut_off",
        "noisy_characters",
        "repetition",
        "shuffled_words",
        "changed_digits",
        "mixed_answers",
    )
    """Kinds of flawed copies; leave one out to see whether gates know a flaw they never saw."""
    warm_up_average: Literal["sample", "token"] = "sample"
    """Whether each sample counts the same in the loss, or each token."""
    mask_special_tokens: bool = True
    """Whether special tokens (end of turn and the like) are left out of the loss."""
    gate_mode: Literal["full_rank", "lora"] = "full_rank"
    """full_rank: each gate's weights are trained. lora: a low-rank update, shared by all layers."""
    gate_lora_rank: Annotated[int, Field(ge=1)] = 2
    """Rank of that update."""


class ModelPass(Settings):
    """Where the model runs, and how much goes through it at once."""

    device: str = "auto"
    """cpu, cuda, cuda:1 ...; auto takes a GPU where the step has one. Numbers count among the GPUs
    that the step was given."""
    tokens_per_batch: Annotated[int, Field(ge=64)] = 8192
    """Tokens that go through the model at once, padding included; neither scores nor gates depend
    on it."""


class ScoringPass(ModelPass):
    """How the scoring model runs over a dataset."""

    with_ifd: bool = True
    """Whether responses are also scored without their prompts, for IFD; a second, shorter pass."""


class ConvertCheckpoint(GateShape, Seeded):
    """Qwen3 (or another supported family) -> QualityGate checkpoint."""


class CompareCheckpoint(ComparePrecision, Seeded):
    """Proof that the converted model is the same model."""


class WarmUpGate(GateShape, WarmUp, ModelPass, MaxTokens, Seeded):
    """Gates trained, backbone frozen."""


class CollectRouterData(ScoringPass, TokenLimit):
    """One pass over a dataset: gate logits, perplexity, entropy of every token."""


class GateSettings(GateShape, ComparePrecision, WarmUp, ScoringPass):
    """The ``gate:`` section."""

    model: str = "base"
    """Which entry of ``models:`` scores the data."""
    num_shards: Annotated[int, Field(ge=1)] = 1
    """Parts of each dataset that are scored as jobs of their own."""

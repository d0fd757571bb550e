"""Settings of the gate stage: convert, prove, warm up, run."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import Settings
from sluice.settings.data import TokenLimit

LossType = Literal["sigmoid", "linear"]


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


class ConvertCheckpoint(GateShape):
    """Qwen3 (or another supported family) -> QualityGate checkpoint."""


class CompareCheckpoint(Settings):
    """Proof that the converted model is the same model."""

    compare_dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the comparison's forward passes."""


class WarmUpGate(GateShape):
    """Gates trained, backbone frozen."""

    warm_up_fraction: Annotated[float, Field(gt=0, le=1)] = 0.025
    """Share of the training samples that gates learn from."""


class CollectRouterData(TokenLimit):
    """One pass over a dataset: gate logits, perplexity, entropy of every token."""

    tokens_per_batch: Annotated[int, Field(ge=64)] = 8192
    """Token budget of a batch, padding included."""


class GateSettings(ConvertCheckpoint, CompareCheckpoint, WarmUpGate):
    """The ``gate:`` section."""

    model: str = "tiny"
    """Which entry of ``models:`` scores the data."""
    tokens_per_batch: Annotated[int, Field(ge=64)] = 8192
    """Token budget of a batch, padding included."""

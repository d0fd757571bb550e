"""Settings of the selection stage: scores, and what is kept."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import Settings


class ScoreSamples(Settings):
    """Per-token records -> one row per sample and one column per score."""

    alpha: float = 1.0
    """Exponent of the perplexity weights: where positive, gates of surprising tokens count more."""


class SelectSamples(Settings):
    """Which samples are kept."""

    strategy: Literal["hybrid", "quality_based", "perplexity_based", "diversity"] = "hybrid"
    """How samples are ranked."""
    selection_percentage: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of the samples that is kept, 0 to 1, rounded up."""


class SelectionSettings(ScoreSamples, SelectSamples):
    """The ``selection:`` section."""

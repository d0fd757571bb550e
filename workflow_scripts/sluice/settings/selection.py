"""Settings of the selection stage: scores, and what is kept."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import Seeded, Settings

SurpriseScore = Literal[
    "excess_surprise_mean",
    "excess_surprise_max",
    "excess_surprise_worst_tenth",
    "excess_surprise_worst_fifth",
    "normalised_surprise_mean",
    "normalised_surprise_max",
    "normalised_surprise_worst_tenth",
    "normalised_surprise_worst_fifth",
]


class ScoreSamples(Settings):
    """Per-token records -> one row per sample and one column per score."""

    alpha: float = 1.0
    """Exponent of the perplexity weights: where positive, gates of surprising tokens count more."""
    scored_tokens: Literal["response", "all"] = "response"
    """Whether scores are taken over the assistant's tokens or over all tokens."""


class SelectionSize(Settings):
    """How much is kept: a share, or instead a number of samples, or a number of tokens."""

    selection_percentage: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of the samples that is kept: 0.05 is 5 %. Rounded up, at least one sample."""
    selection_count: Annotated[int, Field(ge=1)] | None = None
    """Number of samples that is kept, instead of a share."""
    selection_token_budget: Annotated[int, Field(ge=1)] | None = None
    """Samples are kept, best first, until they hold this many tokens, instead of a share."""


class Ranking(Settings):
    """What makes a sample better than another."""

    strategy: Literal["hybrid", "quality_based", "perplexity_based", "diversity"] = "hybrid"
    """hybrid: weighted ranks of quality and of low surprise. quality_based: highest gate quality.
    perplexity_based: lowest (or highest) perplexity. diversity: best of each cluster of gates."""
    hybrid_quality_weight: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the quality rank in hybrid."""
    hybrid_surprise_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the rank by low surprise in hybrid."""
    hybrid_surprise_score: SurpriseScore = "excess_surprise_worst_tenth"
    """The surprise score that hybrid uses."""
    perplexity_order: Literal["lowest", "highest"] = "lowest"
    """Which end perplexity_based keeps."""
    num_clusters: Annotated[int, Field(ge=1)] = 20
    """Clusters of gate features in diversity; never more than samples are kept."""
    selection_scope: Literal["per_dataset", "all"] = "per_dataset"
    """Whether each dataset gives its own share, or the best of all datasets together are kept."""


class SelectSamples(Ranking, SelectionSize, Seeded):
    """Which samples are kept, and in which order."""


class SelectRandom(SelectionSize, Seeded):
    """As many samples as select_samples keeps of a dataset, drawn at random."""


class SelectionSettings(ScoreSamples, Ranking, SelectionSize):
    """The ``selection:`` section."""

"""Settings of the evaluation stage: suites, answers, grades, comparisons."""

from typing import Annotated

from pydantic import Field

from sluice.settings.base import Seeded, Settings


class Generation(Settings):
    """How answers are drawn. The defaults are greedy: one answer, always the same."""

    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Sampling temperature; 0 takes the likeliest token each time."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Tokens are drawn from the likeliest ones that together have this probability."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    """Longest answer, in tokens; a longer one is cut off and graded as such."""
    num_samples: Annotated[int, Field(ge=1)] = 1
    """Answers an item. With several, an item counts as the share of them that is right."""


class GenerateAnswers(Generation, Seeded):
    """Answers of one model or adapter to the items of one suite."""


class CompareModels(Seeded):
    """Two subjects on the same items."""

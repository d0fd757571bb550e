"""Settings of the sampling stage: a model's own completions, and which of them are kept."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import Seeded, Settings
from sluice.settings.engine import EngineSettings
from sluice.settings.grading import GraderSettings


class DrawSettings(Settings):
    """How many completions are drawn, how, and which correct ones are kept."""

    num_samples: Annotated[int, Field(ge=1)] = 8
    """Completions of each prompt; more than one needs a temperature above 0."""
    temperature: Annotated[float, Field(ge=0)] = 0.8
    """Divides the logits before a token is drawn; 0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Tokens are drawn from the smallest set of likeliest ones that holds this probability."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 2048
    """A completion is cut off after this many tokens."""
    num_prompts: Annotated[int, Field(ge=1)] | None = None
    """Prompts that are used, drawn by seed and id; all where not given."""
    deduplicate: Literal["once", "all"] = "once"
    """Identical correct completions of a prompt are kept once, or all of them. The count of a
    prompt's correct completions, and so their weight 1/n, is of the kept ones."""


class TaskSettings(DrawSettings, GraderSettings, EngineSettings):
    """Everything that a task chooses beside its model and its prompts."""


class SampleResponses(Seeded):
    """What sample_responses takes from the top of the configuration."""


class Task(TaskSettings):
    """One task of rejection sampling; the entries of ``tasks:`` in config.yaml."""

    model: str
    """Which entry of ``models:`` completes the prompts."""
    prompts: str
    """Canonical samples, JSONL, each with a ``reference``; the last assistant message, if there is
    one, is left out of the prompt."""

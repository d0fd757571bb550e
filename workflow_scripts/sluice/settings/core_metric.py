"""Settings of the CORE metric: 22 tasks that base models are compared on."""

from typing import Annotated

from pydantic import Field

from sluice.settings.base import Seeded, Settings
from sluice.settings.precision import Precision


class CoreMetricSettings(Settings):
    """The ``core:`` section."""

    bundle: str | None = None
    """Folder with ``core.yaml``, ``eval_meta_data.csv``, ``eval_meta_data_v1.csv`` and
    ``eval_data/``: DCLM's evaluation bundle."""
    max_per_task: Annotated[int, Field(ge=1)] | None = None
    """Items of each task, the first ones of its shuffled data; all where not given. The few-shot
    examples still come from all the data."""
    allow_missing: bool = False
    """Whether a task whose data file is not in the bundle is left out and CORE marked partial; else
    it is an error."""
    nanochat_compatible: bool = False
    """Draw few-shot examples from the shortened data, as nanochat does: an item's prompt then
    depends on ``max_per_task``."""
    max_context_tokens: Annotated[int, Field(ge=16)] | None = None
    """Longer prompts lose tokens from the left; the model's own context where not given."""
    max_batch_tokens: Annotated[int, Field(ge=256)] | None = None
    """Tokens that the model holds at once, padding and cached prefixes included; a single longer
    prompt goes alone. Decisions do not depend on it, but for options whose losses are equal to
    rounding. Where not given 4,096 on a CPU and 65,536 on a GPU."""
    precision: Precision = "auto"
    """Of weights and activations; auto: bfloat16 on a GPU, float32 on a CPU. Losses are float32."""


class EvaluateCore(CoreMetricSettings, Seeded):
    """The CORE metric of one base model."""

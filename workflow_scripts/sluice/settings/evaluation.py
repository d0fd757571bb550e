"""Settings of the evaluation stage: suites, answers, grades, comparisons."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from sluice.settings.base import Seeded, Settings
from sluice.settings.engine import EngineSettings, drawing_problems
from sluice.settings.grading import GraderSettings


class Generation(Settings):
    """How answers are drawn. The defaults are greedy: one answer, always the same."""

    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Divides the logits before a token is drawn; 0 takes the likeliest token each time."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Tokens are drawn from the smallest set of likeliest ones that holds this probability."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    """An answer is cut off after this many tokens, and graded as cut off."""
    num_samples: Annotated[int, Field(ge=1)] = 1
    """Answers an item; more than one needs a temperature above 0. An item then counts as the share
    of its answers that are right."""


class GenerateAnswers(Generation, EngineSettings, Seeded):
    """Answers of one model or adapter to the items of one suite."""


class GradeAnswers(GraderSettings, Seeded):
    """A verdict on each answer, and accuracy by group."""


class CompareModels(Seeded):
    """Two models or adapters on the same items."""


class EvaluateLawshift(Seeded):
    """LawShift's results by change type."""


class Suite(Generation, GraderSettings, EngineSettings):
    """Items that models and adapters are evaluated on; the entries of ``suites:`` in config.yaml.

    Give ``samples`` or ``lawshift``.
    """

    samples: str | None = None
    """Canonical samples with a ``reference``, JSONL. The assistant message that ends a dialogue is
    not shown; accuracy is also given by ``group``."""
    lawshift: str | None = None
    """LawShift's folder, which becomes the samples; needs grader: lawshift."""


def suite_problems(name: str, suite: Suite) -> Iterator[tuple[str, str]]:
    """What is wrong with an entry of ``suites:``: pairs of what it is and what was expected."""
    if (suite.samples is None) == (suite.lawshift is None):
        count = "neither" if suite.samples is None else "both"
        yield f"'suites.{name}' has {count} of 'samples' and 'lawshift'", "exactly one of them"
    if (suite.lawshift is None) == (suite.grader == "lawshift"):
        yield (
            f"'suites.{name}.grader' is '{suite.grader}'",
            "lawshift for a suite that is made of 'lawshift', another for other samples",
        )
    yield from drawing_problems(
        f"suites.{name}.", num_samples=suite.num_samples, temperature=suite.temperature
    )
    if name.endswith(".answers"):
        yield (
            f"the name '{name}' in 'suites' is illegal",
            "another ending, since files of answers have this one",
        )

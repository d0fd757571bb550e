"""Settings of a flywheel's turn: what is kept of the dialogues, learnt from it, and compared."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import Seeded, Settings
from sluice.settings.data import Similarity
from sluice.settings.training import FineTuneSettings, Method

SftFormat = Literal["messages", "alpaca"]


class KeepRule(Settings):
    """Which judged exchanges are good."""

    min_score: float = 4.0
    """Least score of a good exchange, on the judge's scale."""
    keep_by: Literal["all", "mean"] = "all"
    """all: every dimension of a good exchange has at least `min_score`. mean: their mean has."""


class Filtering(KeepRule):
    """What is learnt from, and what is said about it."""

    min_kept: Annotated[int, Field(ge=1)] = 20
    """Fewer kept exchanges than this stop the turn: too few to learn from."""
    max_shift: Annotated[float, Field(ge=0, le=1)] = 0.1
    """A warning says where topics, languages or lengths of the kept exchanges differ from all of
    them by more than this: total variation distance of shares, Kolmogorov-Smirnov distance of
    lengths, both from 0 (the same) to 1. Only where a test finds it beyond chance (p < 0.05)."""


class PrepareSftData(Filtering, Similarity):
    """Judged dialogues -> samples to learn from."""

    evaluation_texts: tuple[str, ...] = ()
    """JSONL or text files of evaluation sets; samples that share text with them are dropped."""


class TurnAdapter(FineTuneSettings):
    """How each turn is fine-tuned; ``flywheel.adapter`` in config.yaml."""

    method: Method = "qlora"
    """lora: low-rank updates. qlora: the same on a 4-bit base."""
    learn_from: Literal["all", "last"] = "last"
    """last: a sample's last response alone, which is the one that was judged."""
    seed: int | None = None
    """Seed of the fine-tunings; the configuration's where none is given."""


class Regression(Settings):
    """What stops the wheel."""

    max_regression: Annotated[float, Field(ge=0)] = 0.1
    """A turn stops the wheel where its mean judged score on held-out topics is lower than the turn
    before's by more than this, on the judge's scale, and the 95 % interval shows a loss."""


class SummarizeTurn(KeepRule, Regression, Seeded):
    """Scores of a turn, and its comparison with the turns before."""


class Calibration(Settings):
    """How far the judges are examined."""

    num_calibrated: Annotated[int, Field(ge=2)] = 60
    """Held-out dialogues that are judged again and compared in pairs, drawn by seed."""
    num_repeats: Annotated[int, Field(ge=2)] = 3
    """Times that each of their exchanges is judged in all."""
    reference_grader: Literal["exact", "number"] = "exact"
    """How an answer is compared with its topic's reference, where there is one. exact: the whole
    text. number: the last ``#### N``, ``Answer: N`` or boxed number."""


class TurnSettings(Filtering, Regression, Calibration):
    """The part of the ``flywheel:`` section that a turn reads after its dialogues are judged."""

    adapter: TurnAdapter = TurnAdapter()
    """How each turn is fine-tuned: every key of an entry of `adapters` but its model and samples,
    with method qlora and learn_from last where nothing else is said."""

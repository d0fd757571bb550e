"""Settings of the data stage: from any source to clean, split, canonical samples."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import Seeded, Settings

SourceFormat = Literal[
    "auto",
    "messages",
    "alpaca",
    "sharegpt",
    "prompt_completion",
    "question_answer",
    "defect",
    "lawshift",
]


class DemoWorld(Settings):
    """The built-in world: in English and Chinese, with verifiable answers and known flaws."""

    num_samples: Annotated[int, Field(ge=20)] = 2000
    """Samples in each of the three built-in datasets."""
    flawed_share: Annotated[float, Field(ge=0, le=1)] = 0.45
    """Share of a built-in dataset's samples that carry one of the seven flaws."""
    num_corpus_samples: Annotated[int, Field(ge=20)] = 18000
    """Samples in the corpus from which the built-in base model learns."""
    corpus_flawed_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of flawed samples in that corpus."""
    corpus_slip_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of the corpus's cases whose total is 1 to 5 months off, so that the base model often
    errs where it could do better and later training has something to draw out."""
    num_heldout_samples: Annotated[int, Field(ge=20)] = 300
    """Samples in each held-out evaluation set."""


class MakeDemoData(DemoWorld, Seeded):
    """The built-in data."""


class ConvertDataset(Settings):
    """Any source format -> canonical samples."""

    max_rejected_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """More unusable rows than this share of a source stop the run."""
    max_chars: Annotated[int, Field(ge=1)] = 200_000
    """Rows whose messages hold more characters than this are rejected as over_long."""


class DatasetSource(Settings):
    """Where one dataset comes from."""

    path: str | None = None
    """File or folder: JSON, JSONL, CSV, Parquet, each also .gz or .zst."""
    hub: str | None = None
    """Hub id, read with the ``datasets`` library; give a revision too."""
    revision: str | None = None
    """Commit, tag or branch of the hub dataset."""
    subset: str | None = None
    """Configuration name of the hub dataset, such as GSM8K's ``main``."""
    hub_split: str = "train"
    """Split of the hub dataset."""
    format: SourceFormat = "auto"
    """Row format; ``auto`` looks at the first rows."""
    articles: str | None = None
    """LawShift only: JSON file of the statute articles, article number -> text."""


class Dataset(DatasetSource):
    """One dataset; the entries of ``datasets:`` in config.yaml."""

    truth: str | None = None
    """Parquet file with ``id``, ``is_flawed`` and ``flaw``, where it is known which samples are
    flawed. No step but the evaluation of scores reads it."""


class Similarity(Settings):
    """When two texts are the same, or share too much."""

    near_duplicate_threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Jaccard similarity of character n-grams from which two samples are near duplicates."""
    near_duplicate_ngram: Annotated[int, Field(ge=1)] = 5
    """Characters in an n-gram for near duplicates."""
    num_permutations: Annotated[int, Field(ge=16)] = 128
    """MinHash permutations; more are more exact and slower."""
    boilerplate_share: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Runs of eight characters in more than this share of the samples (and in more than ten) are
    templates or set phrases: agreement in them alone is no overlap."""
    overlap_ngram: Annotated[int, Field(ge=5)] = 30
    """A sample that shares so many letters and digits in a row with an evaluation question is
    dropped; a Chinese, Japanese or Korean character counts as three."""


class DropOverlap(Similarity):
    """Exact and near duplicates out, text of the evaluation sets out."""

    cluster_threshold: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Jaccard similarity of prompts from which two samples are split to the same side."""
    evaluation_texts: tuple[str, ...] = ()
    """JSONL or text files of evaluation sets; samples that share text with them are dropped."""


class SplitRatio(Settings):
    """How much is held back for testing."""

    test_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the samples that goes to test; 0 keeps all for training."""


class SplitDataset(SplitRatio, Seeded):
    """Stratified train and test, whole near-duplicate clusters on one side."""


class MaxTokens(Settings):
    """How long a sample may be, in tokens of the scoring model."""

    max_tokens: Annotated[int, Field(ge=8)] = 2048
    """Samples are cut to this many tokens from the right."""


class TokenLimit(MaxTokens):
    """How long a sample may be, and what becomes of one whose response is cut away."""

    on_empty_response: Literal["error", "drop"] = "error"
    """A sample without a response token after the cut stops the run, or is dropped and counted."""


class DataSettings(DemoWorld, ConvertDataset, DropOverlap, SplitRatio, TokenLimit):
    """The ``data:`` section."""

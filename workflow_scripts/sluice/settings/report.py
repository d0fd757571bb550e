"""Settings of the report, and the artifacts that it and the tracking read."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from sluice.settings.base import Settings


class Artifacts(Settings):
    """Finished files of a run. What is not given is not spoken of."""

    configuration: str = "{}"
    """The configuration as JSON: only what differs from the defaults is needed."""
    ledgers: tuple[Path, ...] = ()
    """Ledgers, JSON."""
    splits: tuple[Path, ...] = ()
    """Counts of split_dataset, JSON; they link the ledgers before and after it."""
    selected: tuple[Path, ...] = ()
    """The merged selection, JSONL."""
    scores: tuple[Path, ...] = ()
    """Scores of the datasets, Parquet."""
    auroc: tuple[Path, ...] = ()
    """AUROC by score and flaw kind, CSV."""
    clean_share: tuple[Path, ...] = ()
    """Share of clean samples among the best, CSV."""
    heatmap: tuple[Path, ...] = ()
    """Picture of gate scores by layer, PNG."""
    trainings: tuple[Path, ...] = ()
    """Curves: metrics.json of fine_tune, training_log.json, warm_up_log.json."""
    samplings: tuple[Path, ...] = ()
    """sampling_stats.json of sample_responses."""
    evaluations: tuple[Path, ...] = ()
    """*.evaluation_results.json of grade_answers; the graded answers lie beside them."""
    comparisons: tuple[Path, ...] = ()
    """comparison.json of compare_models."""
    turns: tuple[Path, ...] = ()
    """summary.json of the flywheel's turns, in their order."""
    calibrations: tuple[Path, ...] = ()
    """judge_calibration.json of turns."""
    sources: tuple[Path, ...] = ()
    """Files and folders whose hash is shown: raw data, held-out data, adapters."""


class WriteReport(Settings):
    """One page that says what a run did, to read without anything else at hand."""

    report_title: str = "Sluice report"
    """Head line of the page."""
    num_examples: Annotated[int, Field(ge=0, le=50)] = 3
    """Samples shown for each dataset, and pairs of answers for each kind of change."""


class ReportSettings(WriteReport):
    """The ``report:`` section."""

    num_turns: Annotated[int, Field(ge=0)] = 0
    """Turns of the flywheel that the report and the tracking ask for; they are built first."""

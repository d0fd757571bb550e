"""A small finished run with a file of every kind, and what reads each kind back."""

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pandas as pd
from report_artifacts import CONFIGURATION, write_run
from source_bytes import to_parquet
from support import ROOT

import plot_judge_calibration
import plot_loss_curve
from sluice.files import read_json, write_json
from sluice.flywheel.calibration_run import _GRADABLE, _is_right
from sluice.flywheel.judging_run import read_simulation
from sluice.flywheel.summary import TrainingFiles, summarize_turn
from sluice.report.page.assembling import write_page
from sluice.settings.calibration import CalibrateJudge
from sluice.settings.flywheel_turn import SummarizeTurn
from sluice.settings.report import Artifacts, WriteReport
from sluice.tracking.gathering import gather_runs

TEMPLATE = ROOT / "resources/report/page.html.jinja"
CONFIGURED = json.dumps({**CONFIGURATION, "tasks": {"quiz": {"prompts": "p.jsonl"}}})


def write_artifacts(folder):
    """The run of `report_artifacts`, and what only tables, turns and pictures read."""
    write_run(folder)
    (folder / "configuration.json").write_text(CONFIGURED)
    scores = [
        {"id": f"c_{n}", "dataset": "cats", "status": "ok", "quality": 0.5 * n} for n in range(5)
    ]
    (folder / "scores.parquet").write_bytes(to_parquet(scores))
    rows = [{"score": "quality", "flaw": flaw} for flaw in ("all", "cut_off")]
    numbers = {"auroc": 0.75, "low": 0.5, "high": 0.875}
    pd.DataFrame([{**row, **numbers} for row in rows]).to_csv(folder / "auroc.csv", index=False)
    numbers = {"num_kept": 7, "clean_share": 0.75, "low": 0.5, "high": 0.875}
    rows = [{"score": name, **numbers} for name in ("(all)", "(selected)", "quality")]
    pd.DataFrame(rows).to_csv(folder / "clean_share.csv", index=False)
    write_json(folder / "turn_1/sft_train.ledger.json", _ledger())
    shift = {"feature": "topic", "distance": 0.5, "is_shifted": True, "whole": {"a": 1.0}}
    write_json(folder / "turn_1/sft_train.shift.json", {"features": [shift]})
    figures = {"method": "lora", "num_held_out": 0, "last_tenth_loss": 0.5}
    metrics = {**read_json(folder / "adapters/tuned/metrics.json"), **figures}
    write_json(folder / "turn_1/adapter/metrics.json", metrics)
    for name in ("simulation_data.json", "evaluation_results.json"):
        write_json(folder / f"turn_1/train/{name}", read_json(folder / f"turn_1/heldout/{name}"))
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks/fine_tune.tsv").write_text("s\th:m:s\tmax_rss\n1.5\t0:00:01\t-\n")


def _ledger():
    return {"step": "prepare_sft_data", "dataset": "turn_1", "rows_in": 2, "rows_kept": 1,
            "rejected": {"low_score": 1}}  # fmt: skip


def _artifacts(folder):
    """What `write_artifacts` wrote, as the scripts take it."""
    paths = {
        "ledgers": sorted(folder.rglob("*.ledger.json")),
        "splits": [folder / "cats/split.json"],
        "selected": [folder / "selected_data.jsonl"],
        "scores": [folder / "scores.parquet"],
        "auroc": [folder / "auroc.csv"],
        "clean_share": [folder / "clean_share.csv"],
        "trainings": [folder / "adapters/tuned/metrics.json"],
        "samplings": [folder / "sampled/quiz/sampling_stats.json"],
        "evaluations": sorted(folder.rglob("*.evaluation_results.json")),
        "comparisons": [folder / "comparison/comparison.json"],
        "turns": [folder / f"turn_{turn}/summary.json" for turn in (0, 1)],
        "calibrations": [folder / "turn_1/judge_calibration.json"],
    }
    configuration = folder / "configuration.json"
    text = configuration.read_text(errors="surrogateescape") if configuration.exists() else "{}"
    return SimpleNamespace(
        **{name: tuple(each) for name, each in paths.items()}, configuration=text
    )


def every_name():
    """The kinds of artifacts of which `write_artifacts` writes some."""
    return [name for name in Artifacts.model_fields if name not in ("heatmap", "sources")]


def show(folder, names):
    """The page and the tracked runs of these artifacts alone."""
    files = {name: getattr(_artifacts(folder), name) for name in names}
    found = Artifacts(**{"configuration": CONFIGURED, **files})
    write_page(found, WriteReport(), template=TEMPLATE, benchmarks=folder / "benchmarks")
    for run in gather_runs(found):
        run.content_hash()


def _summarize(folder):
    turns = [folder / f"turn_{turn}/heldout" for turn in (0, 1)]
    summarize_turn(
        [turn / "simulation_data.json" for turn in turns],
        [turn / "evaluation_results.json" for turn in turns],
        training=TrainingFiles.of(folder / "turn_1"),
        settings=SummarizeTurn(max_regression=4),
        output=folder / "new_summary.json",
    )


def _draw_curve(folder):
    metrics = folder / "adapters/tuned/metrics.json"
    arguments = plot_loss_curve.Arguments(metrics=metrics, picture=folder / "p.png")
    plot_loss_curve.main(arguments)


def _draw_calibration(folder):
    calibration = folder / "turn_1/judge_calibration.json"
    arguments = plot_judge_calibration.Arguments(calibration=calibration, picture=folder / "p.png")
    plot_judge_calibration.main(arguments)


def grade(folder):
    """Grades the answers of a turn, as the calibration of its judges does."""
    simulation = read_simulation(folder / "turn_1/train/simulation_data.json", _GRADABLE)
    for dialogue in simulation["dialogues"]:
        for exchange in dialogue["exchanges"]:
            _is_right(exchange, CalibrateJudge())


@dataclass(frozen=True)
class Kind:
    """A file that is read back, and by whom."""

    file: str
    read: Any

    def of(self, folder):
        """The damaged file's path, and what reads it."""
        return folder / self.file, lambda: self.read(folder)


def _shown(file, *names):
    return Kind(file, lambda folder: show(folder, names))


KINDS = {
    "metrics": _shown("adapters/tuned/metrics.json", "trainings"),
    "picture of a curve": Kind("adapters/tuned/metrics.json", _draw_curve),
    "split": _shown("cats/split.json", "ledgers", "splits"),
    "ledger": _shown("selected/cats.ledger.json", "ledgers", "selected"),
    "sampling": _shown("sampled/quiz/sampling_stats.json", "samplings"),
    "evaluation": _shown("evaluation/tuned/quiz.evaluation_results.json", "evaluations"),
    "graded": _shown("evaluation/tuned/quiz.jsonl", "evaluations", "comparisons"),
    "comparison": _shown("comparison/comparison.json", "evaluations", "comparisons"),
    "turn": _shown("turn_1/summary.json", "turns"),
    "earlier turn": _shown("turn_0/summary.json", "turns"),
    "dialogues": _shown("turn_1/heldout/simulation_data.json", "turns"),
    "verdicts": _shown("turn_1/heldout/evaluation_results.json", "turns"),
    "calibration": _shown("turn_1/judge_calibration.json", "turns", "calibrations"),
    "picture of a calibration": Kind("turn_1/judge_calibration.json", _draw_calibration),
    "rejected": _shown("data/samples.rejected.jsonl", "ledgers", "selected"),
    "selected": _shown("selected_data.jsonl", "selected"),
    "scores": _shown("scores.parquet", "selected", "scores"),
    "auroc": _shown("auroc.csv", "selected", "auroc"),
    "clean share": _shown("clean_share.csv", "selected", "clean_share"),
    "benchmark": _shown("benchmarks/fine_tune.tsv"),
    "configuration": _shown(
        "configuration.json", "configuration", "trainings", "samplings", "evaluations"
    ),
    "summarized metrics": Kind("turn_1/adapter/metrics.json", _summarize),
    "summarized shift": Kind("turn_1/sft_train.shift.json", _summarize),
    "summarized ledger": Kind("turn_1/sft_train.ledger.json", _summarize),
    "summarized dialogues": Kind("turn_1/heldout/simulation_data.json", _summarize),
    "summarized verdicts": Kind("turn_1/heldout/evaluation_results.json", _summarize),
    "graded dialogues": Kind("turn_1/train/simulation_data.json", grade),
}

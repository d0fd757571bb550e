"""Do gates know a flaw that they never saw? AUROC of gate quality, each flaw kind held out.

    python benchmarks/hold_out_flaws.py [--learning-rate 0.01] [--steps 150]

Warms up the gates of results/gate/base/converted once with all kinds of flawed copies, once without
each kind, and once with the linear loss; scores a quarter of the built-in training samples with
each, and prints a Markdown table. Needs a finished built-in run.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow_scripts"))

import pandas as pd
from sklearn.metrics import roc_auc_score

from sluice.gate.runs import collect_shard, run_warm_up
from sluice.selection.scores import score_samples
from sluice.settings.gate import CollectRouterData, WarmUpGate
from sluice.settings.selection import ScoreSamples

DATASETS = ("numbers", "countries", "cases")
MODEL = ROOT / "results/gate/base/converted"
SHARD = (0, 4)


def quality_of(settings: WarmUpGate, folder: Path) -> pd.DataFrame:
    """Warms up gates and scores a quarter of every dataset: id, dataset, quality."""
    sources = [ROOT / f"results/data/{name}/train.jsonl" for name in DATASETS]
    run_warm_up(
        MODEL,
        sources,
        settings=settings,
        output=folder / "gates.pt",
        training_log=folder / "log.json",
        state_root=folder / "state",
    )
    tables = []
    for name, source in zip(DATASETS, sources, strict=True):
        data = collect_shard(
            MODEL,
            source,
            dataset=name,
            shard=SHARD,
            gate_weights=folder / "gates.pt",
            settings=CollectRouterData(with_ifd=False, device="cpu"),
            output=folder / f"{name}.pt",
            ledger_path=folder / f"{name}.ledger.json",
            state_root=folder / "state",
        )
        table = score_samples(data, settings=ScoreSamples())
        tables.append(table.select(["id", "dataset", "quality"]).to_pandas())
    return pd.concat(tables)


def auroc_row(quality: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float]:
    """AUROC of low quality, for all flaws and for each kind against the clean samples."""
    table = quality.merge(truth, on="id", validate="one_to_one")
    is_clean = ~table["is_flawed"]
    kinds = sorted(table.loc[~is_clean, "flaw"].unique())
    row = {"all": roc_auc_score(~is_clean, -table["quality"])}
    for kind in kinds:
        part = table[is_clean | (table["flaw"] == kind)]
        row[kind] = roc_auc_score(part["is_flawed"], -part["quality"])
    return row


def main() -> None:
    """Measures all variants and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--only-all", action="store_true", help="no kind held out, sigmoid only")
    options = parser.parse_args()
    changes = {
        "warm_up_learning_rate": options.learning_rate,
        "warm_up_steps": options.steps,
    }
    base = WarmUpGate(
        warm_up_fraction=1.0, **{name: value for name, value in changes.items() if value}
    )
    variants = {"none": base}
    if not options.only_all:
        for flaw in base.warm_up_flaws:
            rest = tuple(each for each in base.warm_up_flaws if each != flaw)
            variants[flaw] = base.model_copy(update={"warm_up_flaws": rest})
        variants["(linear loss)"] = base.model_copy(update={"quality_loss_type": "linear"})
    truth = pd.concat(
        pd.read_parquet(ROOT / f"results/demo/{name}.truth.parquet") for name in DATASETS
    )
    rows = {}
    for name, settings in variants.items():
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = auroc_row(quality_of(settings, Path(folder)), truth)
    columns = list(rows["none"])
    print("| held out of warm-up | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[column]:.3f}" for column in columns) + " |")


if __name__ == "__main__":
    main()

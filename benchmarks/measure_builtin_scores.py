"""How well plain scores of a model tell flawed from clean samples of the built-in world.

    python benchmarks/measure_builtin_scores.py results/base/base/final_model

Prints two Markdown tables: AUROC by score and flaw kind, and the share of clean samples among the
best. Needs results/demo/. A score is low for a good sample; AUROC is the probability that a flawed
sample scores higher than a clean one.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow_scripts"))

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from transformers import AutoModelForCausalLM

from sluice.chat import EncodedSample, encode_samples, load_tokenizer
from sluice.records import read_samples

DATASETS = ("numbers", "countries", "cases")
BATCH_SIZE = 64
MAX_TOKENS = 512
# Floor of the variance: where a prediction is certain, its surprise still has a scale.
LEAST_VARIANCE = 1e-2


def token_surprise(model: torch.nn.Module, batch: list[EncodedSample]) -> list[np.ndarray]:
    """For each sample an array of 3 rows: NLL, entropy, varentropy of its response tokens."""
    longest = max(len(sample.input_ids) for sample in batch)
    ids = torch.zeros((len(batch), longest), dtype=torch.int64)
    for row, sample in enumerate(batch):
        ids[row, : len(sample.input_ids)] = torch.tensor(sample.input_ids)
    with torch.inference_mode():
        log_p = model(input_ids=ids).logits[:, :-1].log_softmax(-1)
    p = log_p.exp()
    nll = -log_p.gather(-1, ids[:, 1:, None])[..., 0]
    entropy = -(p * log_p).sum(-1)
    varentropy = (p * (log_p + entropy[..., None]) ** 2).sum(-1)
    stacked = torch.stack([nll, entropy, varentropy], dim=1).numpy()
    return [
        values[:, : len(sample.input_ids) - 1][:, np.array(sample.is_response[1:])]
        for values, sample in zip(stacked, batch, strict=True)
    ]


def sample_scores(surprise: np.ndarray) -> dict[str, float]:
    """The scores of one sample from its response tokens' NLL, entropy and varentropy."""
    nll, entropy, varentropy = surprise.astype(np.float64)
    excess = nll - entropy
    normalised = excess / np.sqrt(np.maximum(varentropy, LEAST_VARIANCE))
    scores = {"nll_mean": float(nll.mean())}
    for name, values in (("excess", excess), ("normalised_excess", normalised)):
        worst = np.sort(values)[::-1]
        scores[f"{name}_mean"] = float(worst.mean())
        scores[f"{name}_max"] = float(worst[0])
        scores[f"{name}_worst_tenth"] = float(worst[: -(-len(worst) // 10)].mean())
        scores[f"{name}_worst_fifth"] = float(worst[: -(-len(worst) // 5)].mean())
    return scores


def score_dataset(model: torch.nn.Module, tokenizer: object, path: Path) -> pd.DataFrame:
    """One row per sample of a dataset: id, scores, is_flawed, flaw, dataset."""
    samples = list(read_samples(path))
    encoded = encode_samples(tokenizer, samples, max_tokens=MAX_TOKENS)
    order = sorted(range(len(samples)), key=lambda index: len(encoded[index].input_ids))
    rows = []
    for start in range(0, len(order), BATCH_SIZE):
        indices = order[start : start + BATCH_SIZE]
        surprises = token_surprise(model, [encoded[index] for index in indices])
        rows += [
            {"id": samples[index].id, **sample_scores(surprise)}
            for index, surprise in zip(indices, surprises, strict=True)
        ]
    truth = pd.read_parquet(path.with_suffix(".truth.parquet"))
    return pd.DataFrame(rows).merge(truth, on="id").assign(dataset=path.stem)


def auroc(clean: pd.Series, flawed: pd.Series) -> float:
    """Probability that a flawed sample scores higher than a clean one."""
    is_flawed = np.r_[np.zeros(len(clean)), np.ones(len(flawed))]
    return float(roc_auc_score(is_flawed, pd.concat([clean, flawed])))


def tables(scores: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """AUROC by score, over all, by dataset and by flaw kind; and clean shares among the best."""
    names = [name for name in scores if name.startswith(("nll", "excess", "normalised"))]
    clean, flawed = scores[~scores.is_flawed], scores[scores.is_flawed]
    groups = {"all": (clean, flawed)}
    for name in scores.dataset.unique():
        groups[name] = clean[clean.dataset == name], flawed[flawed.dataset == name]
    for name in sorted(flawed.flaw.unique()):
        groups[name] = clean, flawed[flawed.flaw == name]
    by_group = {
        group: [auroc(good[name], bad[name]) for name in names]
        for group, (good, bad) in groups.items()
    }
    shares = {}
    for label, ranks in (
        ("all", scores[names].rank()),
        ("per dataset", scores.groupby("dataset")[names].rank()),
    ):
        for best in (0.05, 0.3):
            shares[f"best {best:.0%}, {label}"] = [
                1 - scores.is_flawed[ranks[name].nsmallest(round(best * len(scores))).index].mean()
                for name in names
            ]
    return pd.DataFrame(by_group, index=names), pd.DataFrame(shares, index=names)


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, three decimals."""
    lines = [
        "| score | " + " | ".join(table.columns) + " |",
        "|---" * (len(table.columns) + 1) + "|",
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{value:.3f}" for value in row) + " |"
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return "\n".join(lines)


def main() -> None:
    """Scores the three datasets and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--data", type=Path, default=ROOT / "results/demo", help="demo data folder")
    parser.add_argument("--save", type=Path, help="Parquet file for the scores of every sample")
    arguments = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(arguments.model).eval()
    tokenizer = load_tokenizer(arguments.model)
    frames = [
        score_dataset(model, tokenizer, arguments.data / f"{name}.jsonl") for name in DATASETS
    ]
    scores = pd.concat(frames, ignore_index=True)
    if arguments.save:
        scores.to_parquet(arguments.save)
    for table in tables(scores):
        print(markdown(table) + "\n")


if __name__ == "__main__":
    main()

"""What of rejection sampling does the work? Four sets of the same completions, three seeds each.

    python benchmarks/rejection_sampling_arms.py [--cores 2]

Arms, all with the built-in adapter's settings and number of steps: the right completions with
weight 1/n; the same unweighted; one random right completion of each prompt; and, as the control, as
many completions at random, right or wrong. Runs Snakemake on a configuration of its own and prints
a Markdown table: accuracy on the held-out cases by seed, and the mean difference from the base and
from the weighted arm with 95 % bootstrap intervals over items. Needs results/sampled/cases/.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow_scripts"))

import numpy as np
import yaml

from sluice.intervals import bootstrap_mean
from sluice.records import Message, Sample, read_samples, write_samples
from sluice.seeds import derive_seed

SEEDS = (1, 2, 3)
ARMS = ("weighted", "unweighted", "one_each", "unfiltered")
SAMPLED = ROOT / "results/sampled/cases"
FOLDER = ROOT / "results/arms"


def make_arms(seed: int) -> dict[str, list[Sample]]:
    """The samples of each arm."""
    accepted = list(read_samples(SAMPLED / "accepted.jsonl"))
    by_prompt: dict[str, list[Sample]] = {}
    for sample in accepted:
        by_prompt.setdefault(sample.id.rpartition("_")[0], []).append(sample)
    rng = random.Random(derive_seed(seed, "arms"))
    prompts = {each.id: each for each in read_samples(ROOT / "results/data/cases/train.jsonl")}
    rows = [json.loads(line) for line in (SAMPLED / "completions.jsonl").open(encoding="utf-8")]
    drawn = rng.sample(rows, len(accepted))
    return {
        "weighted": accepted,
        "unweighted": [each.model_copy(update={"weight": None}) for each in accepted],
        "one_each": [
            rng.choice(group).model_copy(update={"weight": None}) for group in by_prompt.values()
        ],
        "unfiltered": [
            Sample(
                messages=(
                    *prompts[row["prompt_id"]].messages[:-1],
                    Message(role="assistant", content=row["completion"]),
                ),
                dataset=row["dataset"],
                id=row["id"],
                group=row["group"],
            )
            for row in drawn
        ],
    }


def answers_of(subject: str) -> dict[str, bool]:
    """Item -> whether the subject has it right."""
    path = ROOT / f"results/evaluation/{subject}/cases.jsonl"
    rows = [json.loads(line) for line in path.open(encoding="utf-8")]
    return {row["id"]: row["verdict"] == "correct" for row in rows}


def difference(arm: str, other: list[dict[str, bool]]) -> str:
    """Mean difference of an arm's seeds from the mean of others, in points, with its interval."""
    own = [answers_of(f"{arm}_{seed}") for seed in SEEDS]
    values = [
        np.mean([each[item] for each in own]) - np.mean([each[item] for each in other])
        for item in sorted(own[0])
    ]
    found = bootstrap_mean(np.array(values), limits=(-1.0, 1.0), seed=0)
    return f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def main() -> None:
    """Makes the arms, runs them, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    recipe = yaml.safe_load((ROOT / "config.yaml").read_text())["adapters"]["rft"]
    adapters = {}
    for seed in SEEDS:
        for arm, samples in make_arms(seed).items():
            name = f"{arm}_{seed}"
            write_samples(FOLDER / f"{name}.jsonl", sorted(samples, key=lambda each: each.id))
            adapters[name] = {**recipe, "samples": [f"results/arms/{name}.jsonl"], "seed": seed}
    config = FOLDER / "arms.yaml"
    config.write_text(yaml.safe_dump({"adapters": adapters}))
    targets = [f"results/evaluation/{name}/cases.csv" for name in (*adapters, "base")]
    command = ["snakemake", "--cores", str(options.cores), "--configfile", str(config)]
    subprocess.run([*command, "--", *targets], cwd=ROOT, check=True, stdout=sys.stderr)

    base = answers_of("base")
    weighted = [answers_of(f"weighted_{seed}") for seed in SEEDS]
    print(f"base: {100 * np.mean(list(base.values())):.1f} % of {len(base)} items\n")
    print("| arm | samples | seed 1 | seed 2 | seed 3 | from base | from weighted |")
    print("|---|--:|--:|--:|--:|---|---|")
    for arm in ARMS:
        count = sum(1 for _ in (FOLDER / f"{arm}_1.jsonl").open("rb"))
        shares = [100 * np.mean(list(answers_of(f"{arm}_{seed}").values())) for seed in SEEDS]
        cells = " | ".join(f"{value:.1f}" for value in shares)
        other = "" if arm == "weighted" else difference(arm, weighted)
        print(f"| {arm} | {count:,} | {cells} | {difference(arm, [base])} | {other} |")


if __name__ == "__main__":
    main()

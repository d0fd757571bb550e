"""Time and memory of selecting from a million samples.

    python benchmarks/select_million.py

Makes the scores of 1,000,000 samples under 28 gate layers, and the samples, in a temporary folder
(about 0.6 GB), runs select_samples.py and select_random.py on them, and prints a Markdown table.
Wanted of each: 20 s and 2 GB.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SCRIPTS = Path(__file__).resolve().parent.parent / "workflow_scripts"
KINDS = ("excess", "normalised")
SUMMARIES = ("mean", "max", "worst_tenth", "worst_fifth")
RUNS = {
    "hybrid (default)": ("select_samples.py",),
    "quality_based": ("select_samples.py", "--strategy", "quality_based"),
    "diversity": ("select_samples.py", "--strategy", "diversity"),
    "random": ("select_random.py",),
}
SEED = 7


def write_scores(path: Path, ids: list[str], *, num_layers: int) -> None:
    """A table like that of score_samples: 1 % of the samples without a score, 8 groups of gates."""
    rng = np.random.default_rng(SEED)
    num_samples = len(ids)
    has_none = rng.random(num_samples) < 0.01

    def column(values: np.ndarray) -> pa.Array:
        return pa.array(values, mask=has_none)

    nll = rng.gamma(2.0, 0.5, num_samples)
    num_response_tokens = rng.integers(20, 400, num_samples)
    columns = {
        "id": pa.array(ids),
        "dataset": pa.array(["million"] * num_samples),
        "num_tokens": pa.array(num_response_tokens + rng.integers(20, 400, num_samples)),
        "num_response_tokens": pa.array(np.where(has_none, 0, num_response_tokens)),
        "quality": column(rng.normal(1.0, 0.2, num_samples)),
        "perplexity": column(np.exp(nll)),
        "response_nll": column(nll),
    }
    for kind in KINDS:
        for summary in SUMMARIES:
            columns[f"{kind}_surprise_{summary}"] = column(rng.normal(0.0, 1.0, num_samples))
    columns["ifd"] = column(rng.gamma(9.0, 0.1, num_samples))
    centres = rng.normal(0.5, 0.1, (8, num_layers))
    groups = rng.integers(0, 8, num_samples)
    for layer in range(num_layers):
        gates = centres[groups, layer] + rng.normal(0.0, 0.05, num_samples)
        columns[f"gate_layer_{layer:02d}"] = column(gates)
    columns["status"] = pa.array(np.where(has_none, "no_response_token", "ok"))
    pq.write_table(pa.table(columns), path, compression="zstd")


def write_samples(path: Path, ids: list[str]) -> None:
    """Canonical samples of about 250 bytes, in another order than the scores."""
    with open(path, "wb") as stream:
        for n in np.random.default_rng(SEED + 1).permutation(len(ids)):
            question = f"What is {n} plus {n + 1}? Explain how you add such numbers."
            answer = f"I add the ones, the tens and the rest: {n} + {n + 1} = {2 * n + 1}."
            stream.write(
                f'{{"messages":[{{"role":"user","content":"{question}"}},'
                f'{{"role":"assistant","content":"{answer}"}}],'
                f'"dataset":"million","id":"{ids[n]}"}}\n'.encode()
            )


def write_files(scores: Path, samples: Path, num_samples: int, num_layers: int) -> None:
    """Both files of so many samples."""
    ids = [f"million_{n}" for n in range(num_samples)]
    write_scores(scores, sorted(ids), num_layers=num_layers)
    write_samples(samples, ids)


def measure(command: list[str]) -> tuple[float, float, float]:
    """Runs a command; returns its seconds, its CPU seconds and its own peak memory in GB."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"exit code {child.returncode}: {' '.join(command)}")
    # Linux counts it in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e9


def main() -> None:
    """Makes the files, runs each strategy, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-samples", type=int, default=1_000_000)
    parser.add_argument("--num-layers", type=int, default=28)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scores, samples = Path(folder, "scores.parquet"), Path(folder, "train.jsonl")
        # Elsewhere, because a child's peak memory begins with that of the process it came from.
        making = multiprocessing.get_context("spawn").Process(
            target=write_files,
            args=(scores, samples, arguments.num_samples, arguments.num_layers),
        )
        making.start()
        making.join()
        print("| strategy | seconds | CPU seconds | peak memory, GB |\n|---|---|---|---|")
        for name, (script, *flags) in RUNS.items():
            paths = {"scores": scores, "samples": samples, "dataset": "million"}
            outputs = {"output": f"{folder}/kept.jsonl", "ledger": f"{folder}/kept.ledger.json"}
            words = [f"--{key}={value}" for key, value in (paths | outputs).items()]
            command = [sys.executable, str(SCRIPTS / script), *words, *flags]
            seconds, cpu_s, memory_gb = measure(command)
            print(f"| {name} | {seconds:.1f} | {cpu_s:.1f} | {memory_gb:.2f} |", flush=True)


if __name__ == "__main__":
    main()

"""A clone with six small datasets and a tiny model, and runs of it whose jobs can be looked at."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from real_slurm import ask
from support import clone
from tiny_models import write_tiny_checkpoint

DATASETS = [f"part{number}" for number in range(6)]
TARGET = "results/selected_data.jsonl"
_TOOLS = Path(sys.executable).parent
# The profile's own pauses suit clusters of thousands of jobs; these make the tests short.
_IN_A_HURRY = [
    *("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"),
    *("--max-status-checks-per-second", "5", "--latency-wait", "10"),
]


def make_folder(folder: Path) -> Path:
    """A clone with data, model and configuration.

    The model runs on the CPU, since the GPUs are pretended; the profile is told to ask for one
    all the same.
    """
    clone(folder)
    write_tiny_checkpoint(folder / "own" / "model")
    for number, name in enumerate(DATASETS):
        rng = random.Random(number)
        (folder / "own" / f"{name}.jsonl").write_text("".join(_row(rng) for _ in range(30)))
    values = {
        "datasets": {name: {"path": f"own/{name}.jsonl"} for name in DATASETS},
        "models": {"tiny": {"path": "own/model"}},
        "gate": {"model": "tiny", "device": "cpu", "warm_up_steps": 2, "warm_up_fraction": 1.0},
        "selection": {"selection_percentage": 0.2},
    }
    (folder / "own" / "config.yaml").write_text(yaml.safe_dump(values))
    profile = folder / "profiles" / "slurm" / "config.yaml"
    before = "      slurm_partition:"
    text = profile.read_text()
    assert text.count(before) == 1
    asking = f"      ?if step in gpu_steps:\n        gpu: 1\n{before}"
    profile.write_text(text.replace(before, asking))
    return folder


def _row(rng: random.Random) -> str:
    syllables = ["ka", "mo", "te", "vu", "pi", "do", "lan", "rek", "sim", "tor", "uf", "zel"]
    words = ["".join(rng.choices(syllables, k=3)) for _ in range(22)]
    row = {"question": " ".join(words[:12]), "answer": " ".join(words[12:])}
    return json.dumps(row) + "\n"


@dataclass(frozen=True)
class Job:
    """What Slurm remembers of a job."""

    number: int
    step: str
    """Rule and wildcards, or group, as the executor names them."""
    state: str
    node: str
    start: datetime | None
    end: datetime | None
    memory: str
    num_gpus: int


class Run:
    """A run of snakemake that has been started."""

    def __init__(self, folder: Path, *words: str, config: str = "own/config.yaml") -> None:
        self.folder = folder
        hurry = _IN_A_HURRY if "--profile" in words else []
        self._log = folder / f"run-{time.time_ns()}.txt"
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                ["snakemake", *words, *hurry, "--configfile", config, "--", TARGET],
                cwd=folder,
                env={**os.environ, "PATH": f"{_TOOLS}{os.pathsep}{os.environ['PATH']}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def text(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    @property
    def name(self) -> str | None:
        """The name of its Slurm jobs."""
        found = re.search(r"SLURM run ID: (\S+)", self.text)
        return found[1] if found else None

    def finish(self, *, is_ok: bool = True) -> "Run":
        """Waits for its end."""
        self.process.wait()
        assert (self.process.returncode == 0) == is_ok, self.text[-6000:]
        return self

    def kill(self) -> None:
        """Ends snakemake as a lost login node would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def jobs(self) -> list[Job]:
        """Its jobs so far, from Slurm's own memory."""
        lines = ask("scontrol", "--oneliner", "show", "job").splitlines()
        return [_job(line) for line in lines if self.name and f"JobName={self.name} " in line]

    def wait_for(self, is_so: Callable[[list[Job]], bool]) -> list[Job]:
        """Waits until its jobs are as wished while it runs; returns them."""
        while not is_so(jobs := self.jobs()):
            assert self.process.poll() is None, self.text[-6000:]
            time.sleep(0.3)
        return jobs


def _job(line: str) -> Job:
    values = dict(re.findall(r"(\w+(?:/\w+)?)=(\S*)", line))
    gpus = re.search(r"gres:gpu(?::\w+)?:(\d+)", values.get("TresPerJob", ""))
    return Job(
        number=int(values["JobId"]),
        step=values.get("Comment", ""),
        state=values["JobState"],
        node=values.get("NodeList", ""),
        start=_moment(values.get("StartTime")),
        end=_moment(values.get("EndTime")),
        memory=values.get("MinMemoryNode") or values.get("MinMemoryCPU") or "",
        num_gpus=int(gpus[1]) if gpus else 0,
    )


def _moment(text: str | None) -> datetime | None:
    return None if text in (None, "Unknown", "None") else datetime.fromisoformat(text)


def peak(jobs: list[Job]) -> int:
    """How many jobs ran at once at most; one that starts in the second another ends comes after."""
    ran = [job for job in jobs if job.start and job.end]
    return max(sum(a.start <= b.start < a.end for a in ran) for b in ran)

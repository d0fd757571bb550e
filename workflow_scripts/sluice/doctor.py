"""Is this machine ready for the configured run? One finding per question, each failure with a hint.

Nothing is changed, and nothing leaves the machine but a question whether a server is there.
"""

import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sluice.config import Config
from sluice.pins import installed_version, read_pins
from sluice.planning import ask_snakemake
from sluice.settings.engine import EngineSettings

_LEAST_PYTHON = (3, 11)
_HUB = "https://huggingface.co"
_TIMEOUT_S = 5.0
_GB = 1e9
# Converted, fine-tuned and merged models each are about as large as their source.
_COPIES_OF_A_MODEL = 4
_COPIES_OF_DATA = 10
_LEAST_DISK_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """The answer to one question."""

    subject: str
    told: str
    is_ok: bool = True
    hint: str = ""

    def lines(self) -> list[str]:
        """As people read it."""
        line = f"{'ok  ' if self.is_ok else 'FAIL'}  {self.subject}: {self.told}"
        return [line, f"      {self.hint}"] if self.hint and not self.is_ok else [line]


def examine(config: Config, *, requirements: Path, plan: str) -> Iterator[Finding]:
    """All findings, one after the other, as they are made.

    Args:
        config: the configured run.
        requirements: file of the pinned packages.
        plan: what ``snakemake --dry-run --forceall`` says of it; empty where it fails.
    """
    yield check_python()
    yield check_packages(read_pins(requirements))
    yield check_gpu(needs_gpu=needs_gpu(config, plan))
    yield check_memory(needed_mb=most_memory_mb(plan))
    yield check_disk(needed_gb=disk_need_gb(config))
    hub_ids = sorted(hub_names(config))
    if hub_ids:
        yield check_hub(hub_ids)
    for url, key_variable in sorted(endpoints(config)):
        yield check_endpoint(url, key_variable=key_variable)
    yield check_command("sinfo", of="Slurm", use="--profile profiles/slurm")
    yield check_command("conda", of="conda", use="--sdm conda")


def plan_run(options: Sequence[str] = ()) -> str:
    """What a dry-run of everything says, made or not.

    Raises:
        SluiceError: the workflow cannot be planned.
    """
    return ask_snakemake("--dry-run", "--forceall", *options, what="plan the run")


def check_python() -> Finding:
    """Python itself."""
    found = ".".join(map(str, sys.version_info[:3]))
    is_ok = sys.version_info[:2] >= _LEAST_PYTHON
    return Finding("Python", found, is_ok, "install Python 3.11 or newer")


def check_packages(pins: dict[str, str]) -> Finding:
    """Whether the installed packages are the pinned ones."""
    found = {name: installed_version(name) for name in pins}
    missing = sorted(name for name, version in found.items() if version is None)
    # A build's own part, as in 2.13.0+cpu, is the machine's choice.
    other = sorted(
        name for name, version in found.items() if version and version.split("+")[0] != pins[name]
    )
    if not missing and not other:
        return Finding("packages", f"all {len(pins)} as pinned")
    told = [f"{len(missing)} missing ({missing[0]} ...)"] if missing else []
    told += [f"{len(other)} differ ({other[0]} {found[other[0]]})"] if other else []
    return Finding(
        "packages", ", ".join(told), False, "uv pip install -r requirements.txt, or delete .venv"
    )


def check_gpu(*, needs_gpu: bool) -> Finding:
    """Which GPUs torch sees."""
    try:
        import torch
    except ImportError:
        return Finding("GPU", "torch is not installed", False, "see README, 'Install'")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        told = f"{len(names)} ({', '.join(sorted(set(names)))}), CUDA {torch.version.cuda}"
        return Finding("GPU", f"{told}, driver {_driver() or 'unknown'}")
    told = f"none that torch {torch.__version__} can use"
    hint = (
        f"driver {_driver()} is here, so torch is a build without CUDA: install one with it"
        if _driver()
        else "run on a machine with a GPU, submit to one (docs/cluster.md), or choose the "
        "engine transformers and a small model"
    )
    return Finding("GPU", told, not needs_gpu, hint)


def check_memory(*, needed_mb: int) -> Finding:
    """Whether the largest step fits into memory."""
    total_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    told = f"{total_mb / 1e3:.1f} GB; the largest step asks for {needed_mb / 1e3:.1f} GB"
    return Finding("memory", told, total_mb >= needed_mb, "lower batch sizes, or use a cluster")


def check_disk(*, needed_gb: float) -> Finding:
    """Whether results fit on the disk; models of a hub come on top."""
    free_gb = shutil.disk_usage(Path()).free / _GB
    told = f"{free_gb:.1f} GB free; about {needed_gb:.1f} GB for results, hub models apart"
    return Finding("disk", told, free_gb >= needed_gb, "free some, or put results/ elsewhere")


def check_hub(names: Sequence[str]) -> Finding:
    """Whether the hub, or what was downloaded from it, can be had."""
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        told = f"offline (HF_HUB_OFFLINE=1), but the configuration names {', '.join(names)}"
        hint = "give folders as 'path', or download them before: hf download NAME"
        return Finding("hub", told, _all_cached(names), hint)
    return _ask("hub", _HUB, hint="give folders as 'path'; set HF_HUB_OFFLINE=1 on such machines")


def check_endpoint(url: str, *, key_variable: str | None) -> Finding:
    """Whether a server answers and its key is at hand; the key itself is never shown."""
    if key_variable and not os.environ.get(key_variable):
        told = f"{url}: the environment variable {key_variable} is empty"
        return Finding("server", told, False, f"export {key_variable}=...")
    return _ask("server", url, hint="is it running, and is base_url right?")


def check_command(name: str, *, of: str, use: str) -> Finding:
    """Whether a command is on the PATH; none is needed on one machine."""
    place = shutil.which(name)
    return Finding(of, place or f"no {name} on the PATH; needed only for {use}")


def most_memory_mb(plan: str) -> int:
    """The largest ``mem_mb`` among a dry-run's jobs."""
    return max(map(int, re.findall(r"\bmem_mb=(\d+)", plan)), default=0)


def needs_gpu(config: Config, plan: str) -> bool:
    """Whether a job asks for a GPU, or an engine runs on nothing else."""
    engines = [entry.engine for entry in _engines(config)]
    return "vllm" in engines or bool(re.search(r"\bgpu=[1-9]", plan))


def disk_need_gb(config: Config) -> float:
    """A rough upper bound of what results take, in GB."""
    models = [Path(source.path) for source in config.models.values() if source.path]
    data = [Path(source.path) for source in config.datasets.values() if source.path]
    needed = _COPIES_OF_A_MODEL * sum(map(_size, models)) + _COPIES_OF_DATA * sum(map(_size, data))
    return _LEAST_DISK_GB + needed / _GB


def hub_names(config: Config) -> set[str]:
    """Models and datasets that come from a hub."""
    models = {source.path for source in config.models.values() if source.path}
    datasets = {source.hub for source in config.datasets.values() if source.hub}
    return {name for name in models if not Path(name).exists()} | datasets


def endpoints(config: Config) -> set[tuple[str, str | None]]:
    """(base_url, variable that holds its key) of every server that the configuration names."""
    return {
        (entry.base_url or "https://api.openai.com/v1", entry.api_key_variable)
        for entry in _engines(config)
        if entry.engine == "openai"
    }


def _engines(config: Config) -> list[EngineSettings]:
    return [*config.tasks.values(), *config.suites.values()]


def _ask(subject: str, url: str, *, hint: str) -> Finding:
    """Any HTTP answer, an error's too, shows that somebody is there."""
    try:
        urllib.request.urlopen(url, timeout=_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return Finding(subject, f"{url} answers")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return Finding(subject, f"{url} does not answer: {reason}", False, hint)
    return Finding(subject, f"{url} answers")


def _all_cached(names: Sequence[str]) -> bool:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cached = {repository.repo_id for repository in scan_cache_dir().repos}
    except CacheNotFound:
        return False
    return set(names) <= cached


def _driver() -> str | None:
    """Version of the GPU driver, where there is one."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, text=True, capture_output=True)
    return done.stdout.split("\n")[0].strip() or None


def _size(path: Path) -> int:
    """Bytes of a file, or of a folder's files; 0 where nothing is there yet."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())

"""Is this machine ready for the configured run? One finding per question, each failure with a hint.

Nothing is changed, and nothing leaves the machine but a question whether a server is there.
"""

import http.client
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
from sluice.errors import ConfigError, SluiceError
from sluice.mlflow_store import sqlite_file
from sluice.packages import installed_version
from sluice.pins import read_environment_pins, read_pins
from sluice.planning import ask_snakemake
from sluice.settings.engine import EngineSettings
from sluice.settings.llm import OFFLINE
from sluice.staleness import parse_dry_run

_LEAST_PYTHON = (3, 11)
_HUB = "https://huggingface.co"
_TIMEOUT_S = 5.0
# Nobody is there, somebody who does not speak HTTP, or the address is none.
_NO_ANSWER = (OSError, http.client.HTTPException, ValueError)
_GB = 1e9
_OPENAI = "https://api.openai.com/v1"
_VLLM_PINS = Path("envs/vllm.yaml")
_TRACKING_PINS = Path("envs/tracking.yaml")
# Each leaves a model as large as its source; an adapter is smaller, its checkpoints may not be.
_MODEL_WRITERS = (
    "convert_checkpoint",
    "fine_tune",
    "fine_tune_turn",
    "merge_adapter",
    "merge_turn",
)
# Without a plan: converted, fine-tuned and merged once, and one to spare.
_COPIES_OF_A_MODEL = 4
_COPIES_OF_DATA = 10
_LEAST_DISK_GB = 2.0
_BEFORE_A_REASON = "Building DAG of jobs..."
_SHOWN_OF_AN_ERROR = 400


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


@dataclass(frozen=True, order=True)
class Server:
    """A server that the configuration names, and where its key is."""

    url: str
    key_variable: str
    key_file: str = ""
    """Goes before the variable; empty where there is none."""


def examine(
    config: Config, *, requirements: Path, targets: Sequence[str], options: Sequence[str] = ()
) -> Iterator[Finding]:
    """All findings, one after the other, as they are made.

    Args:
        config: the configured run.
        requirements: file of the pinned packages.
        targets: files or rules that are wanted; without any, ``rule all``.
        options: of Snakemake's command line, such as ``--configfile own.yaml``.
    """
    yield check_python()
    yield check_packages(read_pins(requirements))
    plan, finding = plan_run(targets, options)
    yield finding
    yield check_gpu(needs_gpu=needs_gpu(config, plan))
    yield check_memory(needed_mb=most_memory_mb(plan))
    yield check_disk(needed_gb=disk_need_gb(config, plan))
    hub_ids = sorted(hub_names(config))
    if hub_ids:
        yield check_hub(hub_ids)
    for server in sorted(endpoints(config)):
        yield check_server(server)
    if names_vllm(config):
        yield check_apart("vLLM", read_environment_pins(_VLLM_PINS), main="vllm")
    if config.tracking.enabled:
        yield check_apart("MLflow", read_environment_pins(_TRACKING_PINS), main="mlflow")
        yield check_store(config.tracking.tracking_uri)
    yield check_command("sinfo", of="Slurm", use="--profile profiles/slurm")
    yield check_command("conda", of="conda", use="--sdm conda")


def plan_run(targets: Sequence[str], options: Sequence[str] = ()) -> tuple[str, Finding]:
    """What a dry-run of some targets says, made or not; empty where there can be none."""
    wanted = " ".join(targets) or "everything"
    try:
        plan = ask_snakemake(
            "--dry-run", "--forceall", *options, "--", *targets, what=f"plan {wanted}"
        )
    except SluiceError as error:
        reason = (error.hint or "").rpartition(_BEFORE_A_REASON)[2]
        told = " ".join(reason.split())[:_SHOWN_OF_AN_ERROR]
        return "", Finding("plan", f"there is none for {wanted}", False, f"snakemake: {told}")
    return plan, Finding("plan", f"{len(parse_dry_run(plan))} jobs for {wanted}")


def check_python() -> Finding:
    """Python itself."""
    found = ".".join(map(str, sys.version_info[:3]))
    is_ok = sys.version_info[:2] >= _LEAST_PYTHON
    return Finding("Python", found, is_ok, "install Python 3.11 or newer")


def check_packages(
    pins: dict[str, str],
    *,
    subject: str = "packages",
    hint: str = "uv pip install -r requirements.txt, or delete .venv and run make demo",
) -> Finding:
    """Whether the installed packages are the pinned ones."""
    found = {name: installed_version(name) for name in pins}
    missing = sorted(name for name, version in found.items() if version is None)
    # A build's own part, as in 2.13.0+cpu, is the machine's choice.
    other = sorted(
        name for name, version in found.items() if version and version.split("+")[0] != pins[name]
    )
    if not missing and not other:
        return Finding(subject, f"all {len(pins)} as pinned")
    told = [f"{len(missing)} missing ({missing[0]} ...)"] if missing else []
    told += [f"{len(other)} differ ({other[0]} {found[other[0]]})"] if other else []
    return Finding(subject, ", ".join(told), False, hint)


def check_apart(subject: str, pins: dict[str, str], *, main: str) -> Finding:
    """Whether packages that have an environment of their own are here, or can be had.

    Args:
        subject: what they are for.
        pins: of that environment.
        main: the package that it is made for.
    """
    if installed_version(main):
        hint = f"run with --sdm conda, or install {main}=={pins[main]} and what goes with it"
        return check_packages(pins, subject=subject, hint=hint)
    told = f"{main} is not in this Python"
    tools = [tool for tool in ("conda", "apptainer") if shutil.which(tool)]
    if tools:
        return Finding(subject, f"{told}; --sdm {tools[0]} gives it an environment of its own")
    own = "make tracking" if main == "mlflow" else f"pip install {main}=={pins[main]}"
    return Finding(subject, told, False, f"install conda and run with --sdm conda, or {own}")


def check_store(uri: str) -> Finding:
    """Whether the place where runs are noted can be reached."""
    file = sqlite_file(uri)
    if file is None:
        return _ask("tracking", uri, hint="start it, or set tracking.enabled: false")
    folder = next(parent for parent in file.absolute().parents if parent.is_dir())
    hint = "name another file in tracking.tracking_uri"
    return Finding("tracking", f"the file {file}", os.access(folder, os.W_OK), hint)


def check_gpu(*, needs_gpu: bool) -> Finding:
    """Which GPUs torch sees."""
    try:
        import torch
    except ImportError:
        return Finding("GPU", "torch is not installed", False, "make demo: README, 'Start'")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        told = f"{len(names)} ({', '.join(sorted(set(names)))}), CUDA {torch.version.cuda}"
        return Finding("GPU", f"{told}, driver {_driver() or 'unknown'}")
    told = f"none that torch {torch.__version__} can use"
    driver = _driver()
    hint = (
        f"driver {driver} is here, so torch is a build without CUDA: install one with it"
        if driver
        else "run on a machine with a GPU, submit to one (docs/cluster.md), or choose the "
        "engine transformers and a small model"
    )
    return Finding("GPU", told, not needs_gpu, hint)


def check_memory(*, needed_mb: int) -> Finding:
    """Whether the largest step fits into memory."""
    total_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    asked = f"asks for {needed_mb / 1e3:.1f} GB" if needed_mb else "is not known"
    told = f"{total_mb / 1e3:.1f} GB; the largest step {asked}"
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


def check_server(server: Server) -> Finding:
    """Whether a server answers and its key is at hand; the key is neither shown nor sent.

    Who lists models for anybody asks for no key: a server of one's own, often.
    """
    from sluice.llm.access import read_key_file, read_key_variable

    fault, hint = "", ""
    try:
        if server.key_file:
            read_key_file(server.key_file)
        elif read_key_variable(server.key_variable) is None:
            fault = f"the environment variable {server.key_variable} is empty"
            hint = f"export {server.key_variable}=..."
    except ConfigError as error:
        fault, hint = error.what, error.hint or "write the key, and nothing else, into it"
    answer = _ask("server", server.url, hint="is it running, and is base_url right?")
    if not fault or (not server.key_file and _lists_models(server.url)):
        return answer
    hints = [hint] if answer.is_ok else [hint, answer.hint]
    return Finding("server", f"{answer.told}; {fault}", False, "; ".join(hints))


def _lists_models(url: str) -> bool:
    """Whether a server lists its models without a key."""
    try:
        urllib.request.urlopen(f"{url.rstrip('/')}/models", timeout=_TIMEOUT_S).close()
    except _NO_ANSWER:
        return False
    return True


def check_command(name: str, *, of: str, use: str) -> Finding:
    """Whether a command is on the PATH; none is needed on one machine."""
    place = shutil.which(name)
    return Finding(of, place or f"no {name} on the PATH; needed only for {use}")


def most_memory_mb(plan: str) -> int:
    """The largest ``mem_mb`` among a dry-run's jobs."""
    return max(map(int, re.findall(r"\bmem_mb=(\d+)", plan)), default=0)


def needs_gpu(config: Config, plan: str) -> bool:
    """Whether a job asks for a GPU, or runs on nothing else; without a plan, whether one may."""
    if not plan:
        return names_vllm(config)
    is_asked_for = bool(re.search(r"\bgpu=[1-9]", plan))
    return is_asked_for or any(job.rule.endswith("_with_vllm") for job in parse_dry_run(plan))


def names_vllm(config: Config) -> bool:
    """Whether the configuration names vLLM as an engine or as the flywheel's server."""
    engines = [entry.engine for entry in _engines(config)]
    return "vllm" in engines or config.flywheel.server == "vllm"


def disk_need_gb(config: Config, plan: str) -> float:
    """A rough upper bound of what results take, in GB; without a plan, of one pass of all."""
    models = [_size(Path(source.path)) for source in config.models.values() if source.path]
    data = {name: source.path for name, source in config.datasets.items() if source.path}
    models_bytes, read = _COPIES_OF_A_MODEL * sum(models), set(data)
    if plan:
        jobs = parse_dry_run(plan)
        num_copies = sum(job.rule in _MODEL_WRITERS for job in jobs)
        models_bytes = num_copies * max(models, default=0)
        converted = [job.wildcards for job in jobs if job.rule == "convert_dataset"]
        read &= {text.partition("=")[2] for text in converted}
    data_bytes = sum(_size(Path(data[name])) for name in read)
    return _LEAST_DISK_GB + (models_bytes + _COPIES_OF_DATA * data_bytes) / _GB


def hub_names(config: Config) -> set[str]:
    """Models and datasets that come from a hub."""
    models = {source.path for source in config.models.values() if source.path}
    datasets = {source.hub for source in config.datasets.values() if source.hub}
    return {name for name in models if not Path(name).exists()} | datasets


def endpoints(config: Config) -> set[Server]:
    """Every server that the configuration names; the built-in one is none."""
    engines = {
        Server(entry.base_url or _OPENAI, entry.api_key_env, entry.api_key_file or "")
        for entry in _engines(config)
        if entry.engine == "openai"
    }
    roles = (config.llm.simulator, config.llm.judge, config.llm.evaluator)
    return engines | {
        Server(role.base_url, role.api_key_env, role.api_key_file or "")
        for role in roles
        if role.base_url != OFFLINE
    }


def _engines(config: Config) -> list[EngineSettings]:
    return [*config.tasks.values(), *config.suites.values()]


def _ask(subject: str, url: str, *, hint: str) -> Finding:
    """Any HTTP answer, an error's too, shows that somebody is there."""
    try:
        urllib.request.urlopen(url, timeout=_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return Finding(subject, f"{url} answers")
    except _NO_ANSWER as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
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
    # Where it fails it says why on stdout.
    return None if done.returncode else done.stdout.split("\n")[0].strip() or None


def _size(path: Path) -> int:
    """Bytes of a file, or of a folder's files; 0 where nothing is there yet."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())

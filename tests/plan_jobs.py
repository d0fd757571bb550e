"""Plans many configurations in one process: what each job would be given, before anything runs.

    python tests/plan_jobs.py <folder of a clone> < requests.json > plans.json

A request is {"config": values, "targets": files or rules}; its plan is {job: what it would be}.
A dry-run of its own for each of 250 keys would take minutes.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    DeploymentMethod,
    DeploymentSettings,
    OutputSettings,
    ResourceSettings,
    StorageSettings,
    WorkflowSettings,
)

_PROCESSES = 2


def plan(config: dict[str, Any], targets: list[str]) -> dict[str, dict[str, Any]]:
    """Job -> its rule, command, params, inputs, outputs (path -> whether a folder), environment."""
    with SnakemakeApi(OutputSettings()) as api:
        workflow_api = api.workflow(
            resource_settings=ResourceSettings(cores=2),
            config_settings=ConfigSettings(config=config),
            storage_settings=StorageSettings(),
            workflow_settings=WorkflowSettings(),
            deployment_settings=DeploymentSettings(deployment_method={DeploymentMethod.CONDA}),
            snakefile=Path("Snakefile"),
        )
        workflow = workflow_api.dag(DAGSettings(targets=set(targets))).workflow_api._workflow
        workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        return {_name(job): _facts(job) for job in workflow.dag.jobs if job.shellcmd}


def _name(job: Any) -> str:
    return f"{job.rule.name} {sorted(job.wildcards_dict.items())}"


def _facts(job: Any) -> dict[str, Any]:
    return {
        "rule": job.rule.name,
        "command": job.shellcmd,
        "params": sorted(job.dag.workflow.persistence._params(job)),
        "inputs": sorted(map(str, job.input)),
        "outputs": {str(file): bool(file.is_directory) for file in job.output},
        "environment": str(job.conda_env_spec.file.get_path_or_uri(secret_free=True)),
    }


def ask_for_plans(
    folder: Path, configs: Sequence[Mapping[str, Any]], targets: Sequence[str]
) -> list[dict[str, dict[str, Any]]]:
    """The plans of some configurations, made in a process for each core.

    Snakemake keeps what it includes in its process, and this one must stay as it is.
    """
    parts = [configs[start::_PROCESSES] for start in range(_PROCESSES)]
    with ThreadPoolExecutor(_PROCESSES) as pool:
        answers = list(pool.map(lambda part: _ask(folder, part, targets), parts))
    return [answers[n % _PROCESSES][n // _PROCESSES] for n in range(len(configs))]


def _ask(folder: Path, configs: Sequence[Mapping[str, Any]], targets: Sequence[str]) -> Any:
    requests = [{"config": config, "targets": targets} for config in configs]
    done = subprocess.run(
        [sys.executable, __file__, folder],
        input=json.dumps(requests),
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return json.loads(done.stdout)


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    logging.disable()
    requests = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Snakemake prints
    with answers:
        json.dump([plan(**request) for request in requests], answers)

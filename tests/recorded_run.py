"""A clone that looks like one in which everything was made, without making it.

Every output of a plan is an empty file or folder, and Snakemake's own `--touch` records what it
was made with. For tests of what is stale: nothing can be read from such files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from plan_jobs import ask_for_plans
from support import snakemake

CONFIG_FILE = "more.yaml"


def pretend_run(folder: Path, config: Mapping[str, Any], targets: Sequence[str]) -> Path:
    """Fills a clone with the outputs of all jobs, under a configuration that stays in more.yaml."""
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(dict(config)))
    (plan,) = ask_for_plans(folder, [config], targets)
    for job in plan.values():
        for name, is_folder in job["outputs"].items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if is_folder:
                path.mkdir(exist_ok=True)
            else:
                path.touch()
    words = ("--touch", "--forceall", "--cores", "1", "--configfile", CONFIG_FILE)
    snakemake(folder, *words, "--", *targets)
    return folder

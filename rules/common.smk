"""Shared by all stages: the checked configuration, and the flags and code hash of a step.

REQUIRED INPUTS: config.yaml (and any --configfile).
OUTPUTS: none; defines `settings`, `DATASETS`, `LABELLED`, `flags`, `untracked` and `code`.
"""

import os
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow_scripts"))

# `.venv/bin/snakemake` without activation must run the same Python's scripts.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))

from sluice.config import flags_for, load_config
from sluice.config_checks import check_local_sources
from sluice.errors import ConfigError, SluiceError
from sluice.fingerprint import code_hash as code
from sluice.settings.base import narrow, to_flags
from sluice.settings.data import DatasetSource


def checked_config():
    """The configuration as frozen settings; a wrong one ends the run with one message."""
    # Snakemake lists the files of --configfile first, then the one that the Snakefile names.
    files = [*workflow.configfiles[-1:], *workflow.configfiles[:-1]]
    try:
        checked = load_config(config, files=[Path(file) for file in files])
        check_local_sources(checked, files=[Path(file) for file in files])
        return checked
    except SluiceError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(1)


settings = checked_config()
DATASETS = sorted(settings.datasets)
LABELLED = [name for name in DATASETS if settings.datasets[name].truth]


wildcard_constraints:
    dataset="|".join(map(re.escape, DATASETS)),
    model="|".join(map(re.escape, settings.models)),
    adapter="|".join(map(re.escape, settings.adapters)) or "[^/]+",
    shard="[0-9]+",
    num_shards="[0-9]+",


def flags(rule):
    """The flags of a rule's settings that differ from the defaults, quoted for the shell.

    A function, since a plain string param that holds braces would be read as a wildcard. Those that
    cannot change a result are left to `untracked`.
    """
    text = shlex.join(flags_for(rule, settings, "tracked"))
    return lambda wildcards: text


def untracked(rule):
    """The flags of a rule's settings that cannot change its result, such as a time-out.

    The step gets them, but a new value does not make it stale: what a function makes of `threads`
    Snakemake does not compare with the last run. Its value is not needed here.
    """
    text = shlex.join(flags_for(rule, settings, "untracked"))
    return lambda wildcards, threads: text


def gate_file(name):
    """A file of the model that scores the data."""
    return f"results/gate/{settings.gate.model}/{name}"


def shard_files(wildcards):
    """The router data of all shards of a dataset; how many there are stands in the config."""
    count = settings.gate.num_shards
    return expand(
        "results/router_data/shards/{dataset}.{shard}_of_{num_shards}.pt",
        dataset=wildcards.dataset,
        shard=range(count),
        num_shards=count,
    )


def pooled_scores(wildcards):
    """The scores that a dataset's samples are ranked among: its own, or those of all datasets."""
    is_pooled = settings.selection.selection_scope == "all"
    names = DATASETS if is_pooled else [wildcards.dataset]
    return expand("results/scores/{name}.parquet", name=names)


def source_files(wildcards):
    """The local file, or the files of the local folder, that a dataset comes from; none of a hub."""
    source = settings.datasets[wildcards.dataset]
    if source.path is None:
        return []
    folder = Path(source.path)
    files = sorted(str(file) for file in folder.rglob("*") if file.is_file())
    return [*(files or [source.path]), *([source.articles] if source.articles else [])]


def source_flags(wildcards):
    """Where a dataset comes from and in which format, as flags."""
    return shlex.join(to_flags(narrow(settings.datasets[wildcards.dataset], DatasetSource)))


def truth_files(names):
    """The known truth of the named datasets."""
    return [settings.datasets[name].truth for name in names]


def ledger_files(wildcards):
    """Every step's books on the way to the selected data."""
    shards = [
        f"{number}_of_{settings.gate.num_shards}" for number in range(settings.gate.num_shards)
    ]
    return [
        *expand(
            "results/data/{dataset}/{step}.ledger.json",
            dataset=DATASETS,
            step=["samples", "clean", "split"],
        ),
        *expand(
            "results/router_data/shards/{dataset}.{shard}.ledger.json",
            dataset=DATASETS,
            shard=shards,
        ),
        *expand("results/selected/{dataset}.ledger.json", dataset=DATASETS),
        "results/selected_data.ledger.json",
    ]


def report_files():
    """Pictures and tables of the report; those about flaws only where a truth is known."""
    always = ["results/report/score_distributions.png", "results/report/layer_heatmap.png"]
    labelled = ["results/report/score_by_flaw.png", "results/report/score_auroc.csv"]
    return always + (labelled if LABELLED else [])

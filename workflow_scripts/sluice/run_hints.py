"""What to do about a failure that a cluster, or Snakemake, reports in its own words."""

import re

# What stands in Snakemake's log -> what to do. `{0}` is what the expression found in brackets.
_CLUSTER = {
    r"[Ii]nvalid partition (?:name )?specified(?:: ?(\w+))?": (
        "this cluster has no such partition {0}",
        "sinfo --summarize lists its partitions; enter one as 'partition' at the top of "
        "profiles/slurm/config.yaml",
    ),
    r"Requested node configuration is not available|Invalid generic resource \(gres\)": (
        "no node of the partition has what a rule asks for: so many GPUs of that model, cores or "
        "memory on one node",
        "sinfo --Format=Partition,NodeList,CPUs,Memory,Gres,Features shows what there is; mend "
        "'gpu_model' at the top of profiles/slurm/config.yaml, or the rule's line below it",
    ),
    r"Invalid feature specification": (
        "no node has the feature that 'constraint' asks for",
        "sinfo --Format=NodeList,Features lists them; mend 'constraint' at the top of "
        "profiles/slurm/config.yaml",
    ),
    r"Invalid account|account/partition combination|is invalid.*[Aa]vailable accounts": (
        "the account may not submit there",
        "sacctmgr show associations user=$USER lists yours; enter one as 'account' at the top of "
        "profiles/slurm/config.yaml",
    ),
    r"Requested time limit is invalid|DueToTimeLimit|PartitionTimeLimit": (
        "a rule asks for more time than the partition allows",
        "sinfo --Format=Partition,Time shows the limit; lower the rule's 'runtime' in "
        "profiles/slurm/config.yaml: steps of hours go on where they were when they run again",
    ),
    r"SLURM status is: '(OUT_OF_MEMORY)'|[Ee]xceeded (?:job )?memory limit|oom.kill": (
        "a job needed more memory than it was given, and each further try got more",
        "raise the rule's 'mem_mb' in profiles/slurm/config.yaml",
    ),
    r"SLURM status is: '(TIMEOUT)'": (
        "a job ran out of time",
        "run again: it goes on where it was; or raise the rule's 'runtime' in "
        "profiles/slurm/config.yaml",
    ),
    r"SLURM status is: *\n? *'(NODE_FAIL)'": (
        "a node failed under a job",
        "run again; --slurm-exclude-failed-nodes=NODE keeps jobs off a bad node",
    ),
}


_CLOCK = {
    r"has older modification time|clock skew": (
        "files of results/ seem to come from the future: this machine's clock was set back, or it "
        "lags behind the machine that wrote them",
        "set the clock right, give them today's time, and run again: "
        'find results -newermt now -exec touch --no-dereference --date="$(date)" {} +',
    ),
}


def run_hints(log_text: str) -> list[str]:
    """One line for each kind of failure that a log of Snakemake shows, in a fixed order."""
    lines = []
    for kind, hints in (("ClusterError", _CLUSTER), ("ClockError", _CLOCK)):
        for pattern, (what, hint) in hints.items():
            found = re.search(pattern, log_text)
            if found:
                name = next((group for group in found.groups() if group), "")
                said = what.replace("{0}", f"'{name}'" if name else "")
                lines.append(f"{kind}: {' '.join(said.split())}\n  Hint: {hint}")
    return lines

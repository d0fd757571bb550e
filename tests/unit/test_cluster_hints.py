"""What a cluster says in its own words is answered with what to do. The texts are Slurm 22.05's."""

import pytest

from sluice.cluster_hints import cluster_hints

SAID = {
    "sbatch: error: invalid partition specified: nope\n"
    "sbatch: error: Batch job submission failed: Invalid partition name specified": (
        "no such partition 'nope'"
    ),
    "sbatch: error: Batch job submission failed: Requested node configuration is not available": (
        "no node of the partition"
    ),
    "sbatch: error: Batch job submission failed: Invalid feature specification": "constraint",
    "sbatch: error: Batch job submission failed: Invalid account or account/partition "
    "combination specified": "account may not submit",
    "SLURM-job '12' failed, SLURM status is: 'OUT_OF_MEMORY'. Detailed": "more memory",
    "slurmstepd-gpu1: error: StepId=8.0 exceeded memory limit (527720448 > 524288000)": (
        "more memory"
    ),
    "SLURM-job '12' failed, SLURM status is: 'TIMEOUT'. Detailed": "ran out of time",
    "SLURM-job '3' failed due to a node failure, SLURM status is: 'NODE_FAIL'. Failed": (
        "a node failed"
    ),
}


@pytest.mark.parametrize("text", SAID)
def test_failure_of_the_cluster_has_one_hint(text):
    (line,) = cluster_hints(f"Error in rule fine_tune\n{text}\n    sbatch call: ...")
    assert line.startswith("ClusterError: ")
    assert SAID[text] in line
    assert "\n  Hint: " in line


def test_same_failure_of_many_jobs_is_said_once():
    assert len(cluster_hints("Invalid feature specification\n" * 40)) == 1


def test_failure_that_is_not_the_clusters_has_none():
    text = "ScoringError: 3 of 9 samples have no response token\nslurm_partition=gpu"
    assert cluster_hints(text) == []

"""What a cluster or Snakemake says is answered with what to do. The texts are Slurm 22.05's."""

import pytest

from sluice.run_hints import run_hints

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
    (line,) = run_hints(f"Error in rule fine_tune\n{text}\n    sbatch call: ...")
    assert line.startswith("ClusterError: ")
    assert SAID[text] in line
    assert "\n  Hint: " in line


def test_same_failure_of_many_jobs_is_said_once():
    assert len(run_hints("Invalid feature specification\n" * 40)) == 1


def test_failure_that_is_not_the_clusters_has_none():
    text = "ScoringError: 3 of 9 samples have no response token\nslurm_partition=gpu"
    assert run_hints(text) == []


def test_files_from_the_future_are_a_matter_of_the_clock():
    text = (
        "Output b has older modification time (2026-11-27 22:29:56) than input a (2026-11-27 "
        "23:29:37). This could indicate a clock skew problem in your network"
    )
    (line,) = run_hints(text)
    assert line.startswith("ClockError: files of results/ seem to come from the future")

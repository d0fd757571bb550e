"""The workflow through a real Slurm, by the profile that users take."""

import re
import shlex
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from real_slurm import NODES, ask
from six_datasets import DATASETS, TARGET, Run, peak
from support import ROOT

COLLECT = "rule_collect_router_data"
FAILED = {"FAILED", "OUT_OF_MEMORY"}


def content(run):
    """The bytes of what a run makes, by name."""
    names = [TARGET, *(f"results/router_data/{name}_router_data.pt" for name in DATASETS)]
    return {name: (run.folder / name).read_bytes() for name in names}


def forget(folder, datasets):
    """Removes the router data of some datasets, and all that is made from it."""
    results = folder / "results"
    (results / "selected_data.jsonl").unlink(missing_ok=True)
    for name in datasets:
        (results / "router_data" / "shards" / f"{name}.0_of_1.pt").unlink(missing_ok=True)
        (results / "router_data" / f"{name}_router_data.pt").unlink(missing_ok=True)
        (results / "scores" / f"{name}.parquet").unlink(missing_ok=True)
        (results / "selected" / f"{name}.jsonl").unlink(missing_ok=True)


def step_of(dataset):
    return lambda job: COLLECT in job.step and dataset in job.step


def test_bytes_are_those_of_a_local_run(fanned_out):
    local, cluster = fanned_out
    assert content(cluster) == content(local)


def test_six_datasets_share_four_gpus_and_none_is_shared(fanned_out):
    _, run = fanned_out
    scoring = [job for job in run.jobs() if COLLECT in job.step]
    assert len(scoring) == len(DATASETS)
    assert all(job.num_gpus == 1 for job in scoring)
    assert 2 <= peak(scoring) <= 4
    assert {job.node for job in scoring} == set(NODES)
    users = defaultdict(list)
    for job in scoring:
        (dataset,) = [name for name in DATASETS if name in job.step]
        log = (run.folder / "logs" / "collect_router_data" / f"{dataset}.0_of_1.log").read_text()
        gpu, node = re.search(r"GPU (\d) of (\w+)", log).groups()
        assert node == job.node
        users[node, gpu].append(job)
    assert len(users) >= 2
    assert all(peak(jobs) == 1 for jobs in users.values()), users


def test_a_dataset_is_at_most_three_jobs_from_raw_data_to_its_selection(fanned_out):
    _, run = fanned_out
    counts = Counter(job.step.partition("_wildcards_")[0] for job in run.jobs())
    per_dataset = [count for step, count in counts.items() if count >= len(DATASETS)]
    assert per_dataset == [len(DATASETS)] * 3, counts
    # And for all datasets: convert_checkpoint, warm_up_gate and its second try.
    assert len(run.jobs()) == 3 * len(DATASETS) + 3, counts


def test_job_that_lacks_memory_runs_again_with_more(fanned_out):
    _, run = fanned_out
    first, second = sorted(
        (job for job in run.jobs() if "warm_up_gate" in job.step), key=lambda job: job.number
    )
    assert first.state in FAILED
    assert (first.memory, second.memory) == ("500M", "1000M")
    assert second.state == "COMPLETED"


def test_failed_cancelled_and_lost_jobs_run_again(fanned_out):
    local, before = fanned_out
    hit = DATASETS[:3]
    forget(before.folder, hit)
    run = Run(before.folder, "--profile", "profiles/slurm")
    jobs = run.wait_for(
        lambda jobs: sum(COLLECT in job.step and job.state == "RUNNING" for job in jobs) == len(hit)
    )
    found = {name: next(filter(step_of(name), jobs)) for name in hit}
    on_second = [name for name in hit if found[name].node == NODES[1]]
    lost = on_second[0]
    failed, cancelled = [name for name in hit if name != lost]
    ask("scancel", "--signal=KILL", "--full", str(found[failed].number))
    ask("scancel", str(found[cancelled].number))
    ask("scontrol", "update", f"nodename={NODES[1]}", "state=down", "reason=test")
    run.wait_for(lambda jobs: any(job.state == "NODE_FAIL" for job in jobs))
    ask("scontrol", "update", f"nodename={NODES[1]}", "state=resume")
    run.finish()
    states = {job.number: job.state for job in run.jobs()}
    assert states[found[failed].number] in FAILED | {"CANCELLED"}
    assert states[found[cancelled].number] == "CANCELLED"
    assert states[found[lost].number] == "NODE_FAIL"
    for name in hit:
        assert [job.state for job in run.jobs() if step_of(name)(job)][-1] == "COMPLETED"
    assert content(run) == content(local)


def test_documented_recovery_after_sigkill_loses_nothing(fanned_out):
    local, before = fanned_out
    folder = before.folder
    forget(folder, DATASETS)
    killed = Run(folder, "--profile", "profiles/slurm")
    shards = folder / "results" / "router_data" / "shards"
    killed.wait_for(lambda jobs: len(_collected(jobs)) >= 2)
    killed.kill()
    orphans = [job for job in killed.jobs() if job.state in ("RUNNING", "PENDING")]
    assert orphans, "all jobs were over: nothing to recover"
    _follow_the_page(folder)
    assert not ask("squeue", "-h", "-n", killed.name)
    # A file of a job that was cancelled is not finished. Slurm says which jobs came to their end.
    finished = {
        name: (shards / f"{name}.0_of_1.pt").stat().st_mtime_ns
        for name in _collected(killed.jobs())
    }
    assert len(finished) >= 2
    again = Run(folder, "--profile", "profiles/slurm").finish()
    for name, moment in finished.items():
        assert (shards / f"{name}.0_of_1.pt").stat().st_mtime_ns == moment, f"{name} made anew"
    assert not finished.keys() & {
        name for name in DATASETS if any(map(step_of(name), again.jobs()))
    }
    # No job of the killed run was still there when the first of the new run began to write.
    ended = max(job.end for job in killed.jobs() if job.start)
    assert ended <= min(job.start for job in again.jobs() if job.start)
    assert content(again) == content(local)


def _collected(jobs):
    """The datasets whose router data some finished jobs have made."""
    done = [job for job in jobs if job.state == "COMPLETED"]
    return {name for name in DATASETS if any(map(step_of(name), done))}


def _follow_the_page(folder):
    """Runs the commands of docs/cluster.md for a lost login node, but for the rerun itself."""
    page = (ROOT / "docs" / "cluster.md").read_text()
    (block,) = re.findall(r"## A lost login node.*?```bash\n(.*?)```", page, re.DOTALL)
    commands, rerun = block.replace("mine.yaml", "own/config.yaml").rstrip().rsplit("\n", 1)
    assert shlex.split(rerun)[:3] == [".venv/bin/snakemake", "--profile", "profiles/slurm"]
    snakemake = str(Path(sys.executable).parent / "snakemake")
    commands = commands.replace(".venv/bin/snakemake", snakemake)
    subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=folder, check=True)


@pytest.mark.parametrize(
    ("entry", "wrong", "said", "hint"),
    [
        ("partition", "nope", "this cluster has no such partition 'nope'", "sinfo --summarize"),
        ("gpu_model", "h100", "no node of the partition has what a rule asks for", "gpu_model"),
        ("constraint", "moon", "no node has the feature", "constraint"),
    ],
)
def test_what_the_cluster_does_not_have_is_said_with_a_hint(fanned_out, entry, wrong, said, hint):
    _, before = fanned_out
    folder = before.folder
    forget(folder, DATASETS[:1])
    profile = folder / "profiles" / "slurm" / "config.yaml"
    text = profile.read_text()
    profile.write_text(
        re.sub(rf'^  - {entry} = "\w*"', f'  - {entry} = "{wrong}"', text, flags=re.M)
    )
    assert profile.read_text() != text
    try:
        run = Run(folder, "--profile", "profiles/slurm").finish(is_ok=False)
    finally:
        profile.write_text(text)
    assert f"ClusterError: {said}" in " ".join(run.text.split())
    assert hint in run.text.split("Hint:")[-1]


def test_gpu_step_on_a_node_whose_gpu_torch_cannot_use_says_what_to_do(fanned_out):
    _, before = fanned_out
    folder = before.folder
    forget(folder, DATASETS[:1])
    config = folder / "own" / "config.yaml"
    (folder / "own" / "auto.yaml").write_text(
        config.read_text().replace("device: cpu", "device: auto")
    )
    run = Run(folder, "--profile", "profiles/slurm", config="own/auto.yaml").finish(is_ok=False)
    assert re.search(r"DeviceError: this step was given GPU \d of gpu\d, of which torch", run.text)
    assert "Hint: send the rule to nodes with GPUs" in run.text

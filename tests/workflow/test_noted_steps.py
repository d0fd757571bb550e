"""Each step of a real run notes what it ran with, and the provenance finds it."""

import re
from importlib import metadata

from support import clone, snakemake

from sluice.lineage import describe_run

TARGET = "results/demo/numbers.jsonl"


def test_provenance_tells_what_the_step_itself_ran_with(tmp_path):
    folder = clone(tmp_path / "sluice")
    snakemake(folder, "--cores", "1", TARGET)
    config_files = [folder / "config.yaml"]
    described = describe_run([TARGET], config_files=config_files, seed=42, root=folder)
    file = described["files"][TARGET]
    assert not file["is_isolated"]
    note = described["ran_with"][file["ran_with"]]
    assert note["packages"]["numpy"] == metadata.version("numpy")
    assert note["commit"] is None  # a clone of the tests is no checkout of git


def test_turns_that_the_report_tells_of_are_in_the_provenance(fresh):
    text = snakemake(
        fresh, "-n", "results/provenance.json", "--config", "report={num_turns: 1}"
    ).stdout
    (job,) = re.findall(r"^rule write_provenance:\n    input: (.*)$", text, re.MULTILINE)
    for turn in (0, 1):
        assert f"results/flywheel/turn_{turn}/summary.json" in job.split(", ")
    assert "results/flywheel/turn_1/judge_calibration.json" in job.split(", ")

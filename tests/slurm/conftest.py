"""One real Slurm for all tests here, a local run to compare with, and six small datasets."""

import pytest
from real_slurm import Slurm, why_not
from six_datasets import Run, make_folder


@pytest.fixture(scope="session")
def slurm():
    reason = why_not()
    if reason:
        pytest.skip(f"no Slurm here: {reason}")
    with Slurm() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def fanned_out(slurm, tmp_path_factory):
    """Everything through Slurm, while the same runs locally; the gates' job lacks memory at first.

    The undisturbed local run is what every other one must equal.
    """
    local = make_folder(tmp_path_factory.mktemp("local") / "sluice")
    folder = make_folder(tmp_path_factory.mktemp("cluster") / "sluice")
    profile = folder / "profiles" / "slurm" / "config.yaml"
    starved = profile.read_text().replace('"warm_up_gate": (2, 32000,', '"warm_up_gate": (2, 500,')
    assert starved != profile.read_text()
    profile.write_text(starved)
    here, there = Run(local, "--cores", "2"), Run(folder, "--profile", "profiles/slurm")
    there.finish()
    here.finish()
    return here, there

"""Fixtures of all tests: real data where it is at hand, and clones of the working tree.

Also what runs beside what under `pytest -n 2`, as `make test` does: a file's tests stay together,
for they share what they set up, and so do those that use one Slurm or one built run.
"""

import os
import signal
from pathlib import Path

import pytest
from support import ROOT, clone, snakemake
from xdist.scheduler import LoadScopeScheduling

# Two processes of tests share two cores: threads that wait must not turn in circles meanwhile.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A shell's background jobs ignore Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What takes minutes begins first, so that no process has it left when the others are done.
_LONGEST = ("slurm", "faults", "built")
_OF_BUILT_RUN = ("built_in_run", "readme", "staleness_table", "web_text")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: _place(_group(item.nodeid)))


def pytest_xdist_make_scheduler(config, log):
    return _Groups(config, log)


class _Groups(LoadScopeScheduling):
    """Gives a whole group to one process."""

    def _split_scope(self, nodeid):
        return _group(nodeid)


def _group(nodeid):
    file = Path(nodeid.partition("::")[0])
    folder, name = file.parts[1], file.stem.removeprefix("test_")
    if folder in ("slurm", "faults"):
        return folder
    is_of_built_run = folder == "parity" or (folder == "workflow" and name in _OF_BUILT_RUN)
    return "built" if is_of_built_run else str(file)


def _place(group):
    return _LONGEST.index(group) if group in _LONGEST else len(_LONGEST)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data beside the checkout, which users do not have."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real data is not here: no ../shared/data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    """A clone without results; tests must leave it as it was."""
    return clone(tmp_path_factory.mktemp("fresh") / "sluice")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A clone in which `snakemake --cores 2` has made everything from the built-in data."""
    folder = clone(tmp_path_factory.mktemp("built") / "sluice")
    snakemake(folder, "--cores", "2")
    return folder

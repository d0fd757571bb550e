"""Fixtures of all tests: real data where it is at hand, and clones of the working tree."""

import signal

import pytest
from support import ROOT, clone, snakemake

# A shell's background jobs ignore Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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

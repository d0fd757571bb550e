"""An undisturbed brief run, which every disturbed one must equal to the byte."""

from functools import partial

import pytest
from small_run import BRIEF_CONFIG, cpu_seconds, finish, prepare


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The folder of an undisturbed run, and the processor seconds that the run took."""
    folder = prepare(tmp_path_factory.mktemp("whole") / "sluice", BRIEF_CONFIG)
    return folder, cpu_seconds(partial(finish, folder))


@pytest.fixture(scope="session")
def whole(undisturbed):
    """The folder of an undisturbed run."""
    return undisturbed[0]

"""An undisturbed small run, which every disturbed one must equal to the byte."""

import pytest
from small_run import finish, prepare


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The folder of an undisturbed run."""
    return finish(prepare(tmp_path_factory.mktemp("whole") / "sluice"))

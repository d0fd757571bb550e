"""Where runs go is configured without a secret, and an error does not repeat one."""

import pytest

from sluice.config import load_config
from sluice.errors import ConfigError
from sluice.mlflow_store import artifact_folder, with_lock_timeout

MINIMAL = {"datasets": {"d": {"path": "d.jsonl"}}, "models": {"base": {"build": "base"}}}


def test_tracking_is_off_unless_asked_for():
    tracking = load_config(MINIMAL).tracking
    assert (tracking.enabled, tracking.experiment) == (False, "LLM_Bootstrap")
    assert tracking.tracking_uri == "sqlite:///results/mlflow.db"


@pytest.mark.parametrize(
    "uri", ["http://me:s3cret@host:5000", "https://s3cret@host", "postgresql://u:s3cret@h/d"]
)
def test_a_password_in_the_address_is_refused_and_not_repeated(uri):
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD") as error:
        load_config({**MINIMAL, "tracking": {"tracking_uri": uri}})
    assert "s3cret" not in str(error.value)


def test_a_sqlite_file_waits_for_other_writers_and_a_server_is_left_alone():
    assert with_lock_timeout("sqlite:///a/b.db") == "sqlite:///a/b.db?timeout=120"
    assert with_lock_timeout("http://host:5000") == "http://host:5000"
    assert artifact_folder("sqlite:////a/b.db") == "file:///a/b_artifacts"
    assert artifact_folder("http://host:5000") is None

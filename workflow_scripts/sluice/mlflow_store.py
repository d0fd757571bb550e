"""Where MLflow keeps its runs: a SQLite file beside the results, or a tracking server.

MLflow is imported inside the functions only: who does not track does not load it.
"""

import importlib.util
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
# A writer waits so long for others; SQLite lets one at a time write, for milliseconds.
_LOCK_TIMEOUT_S = 120
# MLflow's own 7 tries make one wait minutes for a server that is not there.
_MAX_RETRIES = "3"


def open_store(uri: str, experiment: str) -> tuple["MlflowClient", str]:
    """A client of the store, and the id of the experiment, which is made where there is none.

    Several processes may do so at once. With a SQLite file, artifacts lie in a folder beside it;
    with a server, where that decides.

    Args:
        uri: ``sqlite:///<file>``, or the address of a tracking server.
        experiment: its name.
    Raises:
        TrackingError: MLflow is not installed, or the store cannot be reached.
    """
    require_mlflow()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _MAX_RETRIES)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        with _one_at_a_time(uri):
            client = MlflowClient(tracking_uri=with_lock_timeout(uri))
            return client, _experiment_id(client, experiment, artifacts=artifact_folder(uri))
    except (MlflowException, OSError) as error:
        raise unreachable(uri, error) from None


def _one_at_a_time(uri: str) -> AbstractContextManager[object]:
    """Keeps processes from making the tables of a new SQLite file at once, at which all fail.

    MLflow 3.17's own lock does not cover its whole start: of 8 processes none came through.
    """
    file = sqlite_file(uri)
    if file is None:
        return nullcontext()
    from filelock import FileLock

    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file.with_name(f".{file.name}.lock"))


def require_mlflow() -> None:
    """Says how to install MLflow where it is missing.

    Raises:
        TrackingError: it is.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise TrackingError(
            "MLflow is not installed",
            hint="make tracking, or pip install -r requirements-tracking.txt",
        )


def with_lock_timeout(uri: str) -> str:
    """The address with a time to wait for other writers, where it is a SQLite file."""
    if not uri.startswith(_SQLITE) or "?" in uri:
        return uri
    return f"{uri}?timeout={_LOCK_TIMEOUT_S}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a ``sqlite:///`` address; None of a server."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE).partition("?")[0])


def artifact_folder(uri: str) -> str | None:
    """Where the artifacts of a SQLite file's runs lie; None where a server decides."""
    file = sqlite_file(uri)
    if file is None:
        return None
    return file.with_name(f"{file.stem}_artifacts").resolve().as_uri()


def unreachable(uri: str, error: Exception) -> TrackingError:
    """What to say of a store that does not answer; the first line of the error says why."""
    reason = str(error).strip().partition("\n")[0]
    return TrackingError(
        f"the MLflow store cannot be used: {reason}",
        where=uri,
        hint="all results are there without it; start the server and run again, or set "
        "tracking.enabled: false",
    )


def _experiment_id(client: "MlflowClient", name: str, *, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:
            # Another process was faster, or the store is at fault, which the next line tells.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"the experiment '{name}' is deleted in MLflow", hint="restore it, or name another"
        )
    return str(found.experiment_id)

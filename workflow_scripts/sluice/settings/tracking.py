"""Settings of experiment tracking: where runs are noted, beside the files."""

from typing import Annotated

from pydantic import AfterValidator

from sluice.settings.addresses import without_password
from sluice.settings.base import Settings


def _refuse_secrets(uri: str) -> str:
    variables = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    return without_password(uri, instead=f"MLflow reads them from {variables}")


class TrackResults(Settings):
    """Notes finished trainings, evaluations and turns in MLflow."""

    tracking_uri: Annotated[str, AfterValidator(_refuse_secrets)] = "sqlite:///results/mlflow.db"
    """A SQLite file, or the address of an MLflow tracking server such as http://localhost:5000."""
    experiment: str = "LLM_Bootstrap"
    """Name of the MLflow experiment that the runs belong to."""


class TrackingSettings(TrackResults):
    """The ``tracking:`` section."""

    enabled: bool = False
    """Whether finished results are noted in MLflow, too. It must be installed:
    requirements-tracking.txt. No result depends on it."""
